"""The page says what the findings say, asks for nothing outside itself, and runs nothing."""

from __future__ import annotations

import base64
import re
import shutil
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

pytest.importorskip("jinja2", reason="the extra report is not installed")

from lungdx_paddle.data.labels import LEVEL_WORDS
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.locate import regions_of_readings
from lungdx_paddle.inference.occlusion import explained
from lungdx_paddle.inference.scan_findings import findings_of_regions
from lungdx_paddle.lidc import Series, find_series, read_annotations
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.reporting import page
from lungdx_paddle.reporting.page import report

ESTIMATE = {"value": "0.68", "interval": ["0.65", "0.71"], "patients": "545"}


class Model:
    """Brighter crops are more malignant; described as inference.yml is, all values texts."""

    tasks = {"malignancy": ["1", "2", "3", "4", "5"], "pathology": ["benign", "malignant"]}
    window = (20.0, 2040.0)
    crop_rule = "context"

    def __init__(self) -> None:
        self.calibration = Calibration()
        self.description: dict[str, Any] = {
            "model": "made_up",
            "training": {"data": "LIDC-IDRI", "split": "patient"},
            "scores": {
                "part": "5 folds by patient",
                "accuracy_by_nodule": {"malignancy": ESTIMATE, "pathology": ESTIMATE},
                "malignancy_ece_by_nodule": {**ESTIMATE, "value": "0.034", "interval": None},
            },
        }

    def has_trained_on(self, series_uid: str) -> bool:
        return False

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
        share = images.reshape(len(images), -1).mean(axis=1) / 255
        levels = np.stack([0 * share, (1 - share) / 2, (1 - share) / 2, 0 * share, share], axis=1)
        return {"malignancy": levels, "pathology": np.stack([1 - share, share], axis=1)}


@pytest.fixture
def model() -> Any:
    return Model()


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The readers' XML of a CT, beside its slices."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, patients=1, jobs=1)
    return next(folder.rglob("*.xml"))


@pytest.fixture(scope="session")
def series(phantom: Path) -> Series:
    (found,), _ = find_series(phantom.parent)
    return found


@pytest.fixture(scope="session")
def findings(series: Series, phantom: Path) -> list[Finding]:
    """Those of the CT's nodules; there are several."""
    model: Any = Model()
    regions, doubts = regions_of_readings(series, read_annotations(phantom))
    return list(findings_of_regions(model, series, regions, doubts))


HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Parts(HTMLParser):
    """The tags, the addresses and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        names = ("href", "src", "action", "data", "srcset", "poster", "formaction")
        self.addresses += [value or "" for name, value in attrs if name in names]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] != [("style", {})]:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def sections(html: str) -> list[str]:
    """The text of each nodule's section."""
    parts = re.findall(r'<section class="nodule.*?</section>', html, flags=re.DOTALL)
    return [Parts(part).text for part in parts]


def picture(uri: str) -> np.ndarray:
    encoded = base64.b64decode(uri.removeprefix("data:image/png;base64,"), validate=True)
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def test_the_numbers_are_those_of_the_findings(findings: list[Finding], model: Any) -> None:
    found = sections(report(findings, model))
    assert len(found) == len(findings) > 1
    for text, finding in zip(found, findings):
        values = finding.to_dict()
        assert f"Nodule {values['nodule']} " in text
        level = values["malignancy"]["level"]
        assert f"level {level}, {LEVEL_WORDS[str(level)]}" in text
        assert f"Expected level {finding.expected_level:.2f} of 5" in text
        for task in ("malignancy", "pathology"):
            for p in values[task]["probabilities"]:
                assert f"{100 * p:.1f} %" in text
        assert f"Diameter {values['diameter_mm']} mm" in text
        assert f"Volume {values['volume_mm3']} mm³" in text
        assert f"Mean density {values['mean_hu']} HU" in text
        assert f"Slices used {values['slices']}" in text
        x, y, index = values["place_px"]
        assert f"slice {index} from the caudal end" in text and f"column {x}, row {y}; x," in text
        assert f"x, y, z {', '.join(f'{mm:.2f}' for mm in values['place_mm'])} mm" in text


def test_names_are_text_and_no_markup(findings: list[Finding], model: Any) -> None:
    about = {**findings[0].about, "name": HOSTILE, "series_uid": HOSTILE, HOSTILE: HOSTILE}
    classes = {**findings[0].classes, "pathology": [HOSTILE, "b"]}
    finding = replace(findings[0], about=about, classes=classes, warnings=(HOSTILE,))
    model.description = {"model": HOSTILE, "training": {"data": HOSTILE, "split": HOSTILE}}
    html = report([finding], model)
    parts = Parts(html)
    assert not [tag for tag, _ in parts.tags if tag == "script"]
    assert not [a for _, attributes in parts.tags for a in attributes if a.startswith("on")]
    assert parts.text.count(HOSTILE) >= 8
    assert "<script" not in html and "<img src=x" not in html


def test_the_page_asks_for_nothing_outside_itself(findings: list[Finding], model: Any) -> None:
    html = report([explained(model, finding) for finding in findings], model)
    parts = Parts(html)
    assert {"script", "link", "iframe", "object", "embed", "form", "base"}.isdisjoint(
        tag for tag, _ in parts.tags
    )
    assert any(address.startswith("data:") for address in parts.addresses)
    for address in parts.addresses:
        assert address.startswith("#") or picture(address) is not None
    words = re.sub('"data:image/png;base64,[^"]*"', "", html)
    assert not re.search(r"https?:|url\(|@import|//\w", words)
    (policy,) = [
        attributes["content"]
        for _, attributes in parts.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None and policy.startswith("default-src 'none'; img-src data:;")
    anchors = {attributes.get("id") for _, attributes in parts.tags}
    assert {a[1:] for a in parts.addresses if a.startswith("#")} <= anchors


def test_neither_name_nor_birth_date_is_in_the_page(
    phantom: Path, model: Any, tmp_path: Path
) -> None:
    shutil.copytree(phantom.parent, tmp_path / "ct")
    for path in (tmp_path / "ct").glob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PatientName, header.PatientBirthDate = "Secret^Name", "19500102"
        header.save_as(path)
    (series,), _ = find_series(tmp_path / "ct")
    regions, _ = regions_of_readings(series, read_annotations(phantom))
    html = report(list(findings_of_regions(model, series, regions)), model)
    assert series.series_uid in html
    for secret in ("Secret", "19500102", "1950-01-02", header.PatientID):
        assert secret not in html


def test_a_model_of_the_phantom_says_so_at_each_answer(findings: list[Finding], model: Any) -> None:
    assert "phantom" not in report(findings, model)
    model.description["training"]["data"] = "phantom, made by a program: of no medical meaning"
    html = report(findings, model)
    assert "This model knows no patient." in html.partition("<main>")[0]
    assert [text.count("phantom model") for text in sections(html)] == [1] * len(findings)
    del model.description["training"]["data"]
    assert "does not say what it was trained on" in report(findings, model)


def test_warnings_are_shown_once(findings: list[Finding], model: Any) -> None:
    both = [replace(f, warnings=("of the CT", f"of {k}")) for k, f in enumerate(findings[:2])]
    html = report(both, model)
    assert Parts(html.partition("<main>")[0]).text.count("of the CT") == 1
    assert [text.count("of the CT") for text in sections(html)] == [0, 0]
    assert [text.count(f"of {k}") for k, text in enumerate(sections(html))] == [1, 1]
    (alone,) = sections(report(both[:1], model))
    assert alone.count("of the CT") == alone.count("of 0") == 1


def test_how_sure_its_probabilities_are_is_in_words(findings: list[Finding], model: Any) -> None:
    text = Parts(report(findings, model)).text
    assert "Not calibrated: probabilities as the network gives them" in text
    assert "(off by 3.4 percentage points on average)" in text
    assert "nodules that are answered right 68 % (65 to 71 %) 545" in text
    model.calibration = Calibration(
        temperatures={"malignancy": 1.2}, cuts=(2.0, 2.6, 3.4, 4.3), folds=5,
        nodules={"malignancy": 1098}, why=("too few nodules with a pathology",),
    )  # fmt: skip
    cut = replace(findings[0], cuts=model.calibration.cuts)
    text = Parts(report([cut], model)).text
    assert "Calibrated on 1098 nodules in a cross-validation of 5 folds" in text
    assert "on unseen patients the likeliest class's probability was off by 3.4" in text
    assert text.count("Not calibrated") == 1 and "too few nodules with a pathology." in text
    assert "levels 2 to 5 begin at 2.0, 2.6, 3.4 and 4.3" in text


@pytest.mark.parametrize(
    ("low", "split", "shown"), [("0.4", "patient", 0), ("0.6", "patient", 1), ("0.6", "image", 0)]
)
def test_what_is_not_better_than_chance_is_no_answer_to_trust(
    findings: list[Finding], model: Any, low: str, split: str, shown: bool
) -> None:
    score = {"value": "0.7", "interval": [low, "0.8"], "patients": "80"}
    model.description["training"]["split"] = split
    for name in ("diagnosis_auc_by_patient", "pathology_balanced_accuracy_by_nodule"):
        model.description["scores"][name] = score
    html = report(findings[:1], model)
    assert ("not shown to be better than chance" in sections(html)[0]) is not shown
    assert ("Not shown to tell malignant disease from benign" in html) is not shown
    assert ("on unseen patients has not been measured" in html) is (split == "image")


def test_findings_of_crops_have_the_crop_and_no_slice(model: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32)).astype(np.uint8)
    p = {task: found[0] for task, found in model.probabilities(image).items()}
    finding = Finding({"image": "a/b.jpg"}, model.tasks, p, images=image)
    html = report([finding], model)
    assert "<svg" not in html and "a/b.jpg" in html
    (shown,) = (picture(a) for a in Parts(html).addresses)
    assert np.array_equal(shown, image[0])


def test_a_model_of_one_task_has_a_page_of_one(findings: list[Finding], model: Any) -> None:
    model.tasks = {"malignancy": model.tasks["malignancy"]}
    alone = [
        replace(f, classes=model.tasks, probabilities={"malignancy": f.probabilities["malignancy"]})
        for f in findings
        if f.probabilities
    ]
    text = Parts(report(alone, model)).text
    assert "Malignancy" in text and "athology" not in text


def test_a_nodule_without_a_slice_has_its_reason(findings: list[Finding], model: Any) -> None:
    about = {"series_uid": "1.2", "nodule": 7, "slices": 0, "reason": "none of its slices is there"}
    gone = Finding(about, model.tasks, None)
    html = report([findings[0], gone], model)
    assert "none of its slices is there" in sections(html)[1]
    assert "Expected level" not in sections(html)[1]
    assert "no answer: no slice of it is there" in Parts(html).text


def test_pages_of_many_nodules_show_the_first_ones(
    findings: list[Finding], model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "MOST_NODULES", 1)
    html = report(findings, model)
    assert len(sections(html)) == 1 and f"{len(findings)} nodules" in html
    assert "Only the first 1 are shown in full." in html
    assert all(f"Nodule {finding.about['nodule']}" in html for finding in findings)
    monkeypatch.setattr(page, "MOST_CROPS", 2)
    largest = max(findings, key=lambda f: f.about["slices"])
    assert f"{largest.about['slices'] - 2} of the slices are not shown" in report([largest], model)


def test_what_speaks_for_an_answer_is_drawn_with_its_scale(
    findings: list[Finding], model: Any
) -> None:
    assert "speaks for the answer" not in report(findings[:1], model)
    finding = explained(model, findings[0])
    assert finding.occlusion is not None
    largest = max(0.1, float(np.abs(finding.occlusion["malignancy"]).max()))
    text = unescape(sections(report([finding], model))[0])
    assert f"−{largest:.2f} +{largest:.2f}" in text
    assert "Malignancy: levels by which the expected level falls" in text


@pytest.mark.parametrize("scores", [{}, "none", {"accuracy_by_nodule": "high"}, {"none": "step 3"}])
def test_a_description_without_scores_makes_a_page(
    findings: list[Finding], model: Any, scores: Any
) -> None:
    model.description = {"scores": scores}
    text = Parts(report(findings, model)).text
    expected = "step 3" if "step 3" in str(scores) else "none is recorded"
    assert f"Evaluated on {expected}" in text
