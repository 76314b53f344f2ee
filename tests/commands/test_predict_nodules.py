"""The predict command takes crops, folders, patterns and manifests, and answers in JSON lines."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.commands import cli, predict_nodules
from lungdx_paddle.errors import ConfigError, ManifestError, OutputError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.extras import failed_import
from lungdx_paddle.inference import predictor

Answer = Callable[..., list[dict[str, Any]]]


class Uniform:
    """A model that gives every class the same probability, but the last one a little more."""

    tasks = {"malignancy": ["1", "2", "3", "4", "5"], "pathology": ["benign", "malignant"]}

    def __init__(self, folder: Path, at_once: int = 1) -> None:
        self.folder = folder
        self.notes = ["a note on the model"]
        self.calibration = Calibration()
        self.description: dict[str, Any] = {"model": "uniform"}
        self.crop_rule = "paper"

    def check_crops(self, manifest: object) -> None:
        """Take any crops."""

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
        one = {task: np.arange(1.0, len(names) + 1) for task, names in self.tasks.items()}
        return {task: np.tile(p / p.sum(), (len(images), 1)) for task, p in one.items()}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Answer:
    """A function of arguments: the JSON lines of the command."""
    monkeypatch.setattr(predictor, "Predictor", Uniform)

    def run(*arguments: str | Path) -> list[dict[str, Any]]:
        predict_nodules.main(["--model", "model", *map(str, arguments)])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_every_row_of_a_manifest_has_a_line(answer: Answer, write_crops: Any) -> None:
    lines = answer("--manifest", write_crops(patients=2))
    assert len(lines) == 20
    assert list(lines[0]) == ["image", "patient_id", "nodule", "z_mm", "malignancy", "pathology"]
    assert lines[0]["malignancy"]["level"] == 5
    assert lines[0]["pathology"]["class"] == "malignant"
    assert sum(lines[0]["malignancy"]["probabilities"]) == pytest.approx(1.0, abs=1e-5)


def test_the_model_is_named_at_once_and_stdout_stays_json(
    answer: Answer, write_crops: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_nodules.main(["--model", str(tmp_path), "--manifest", str(write_crops(patients=2))])
    screen = capsys.readouterr()
    assert screen.err.splitlines()[:2] == [f"loading {tmp_path}", "a note on the model"]
    assert all(line.startswith("{") for line in screen.out.splitlines())


def test_a_folder_and_a_pattern_stand_for_their_crops(answer: Answer, write_crops: Any) -> None:
    crops = write_crops(patients=2).parent / "crops"
    of_folder = answer(crops)
    of_pattern = answer(crops / "*" / "*.jpg")  # as on Windows, where no shell expands it
    one = answer(crops / "P00" / "n00_s00.jpg")
    assert len(of_folder) == len(of_pattern) == 20 and of_folder == of_pattern
    assert one == of_folder[:1]


@pytest.mark.parametrize("name", ["gone/*.jpg", "."])
def test_a_name_or_pattern_without_crops_is_an_error(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestError, match=r"expected 32x32 JPGs, found no such file; name crops"):
        answer(name)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--series", "ct"],
        ["a.jpg", "--manifest", "m"],
        ["--series", "c", "--xml", "x", "a.jpg"],
        ["--series", "c", "--xml", "x", "--seg", "s"],
        ["--seg", "s"],
    ],
)
def test_one_kind_of_input_is_wanted(answer: Answer, arguments: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"expected crops, or --manifest, or --series with"):
        answer(*arguments)


def test_dicom_objects_are_of_a_ct_and_two_files(answer: Answer, write_crops: Any) -> None:
    manifest = write_crops(patients=2)
    with pytest.raises(ConfigError, match="expected --series with them.*, found no --series"):
        answer("--manifest", manifest, "--sr", "report.dcm")
    both = ("--sr", "one.dcm", "--seg-out", "one.dcm")
    with pytest.raises(ConfigError, match="a file of its own for each output"):
        answer("--series", "ct", "--nodule", "1,1,1", *both)


def test_a_report_needs_an_extra_and_its_place_before_anything_is_predicted(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    arguments = ["--series", "none", "--nodule", "1,1,1", "--sr", tmp_path / "file" / "report.dcm"]
    if importlib.util.find_spec("highdicom"):
        with pytest.raises(OutputError, match="expected a place that can be written to"):
            answer(*arguments)
    for name in [name for name in sys.modules if name.startswith("lungdx_paddle.reporting")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "highdicom", None)
    with pytest.raises(ImportError) as error:
        answer(*arguments)
    assert str(failed_import(error.value)).endswith("; pip install highdicom")


def test_a_page_of_the_findings_is_written_beside_the_lines(
    answer: Answer, write_crops: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("jinja2", reason="the extra report is not installed")
    page = tmp_path / "new" / "page.html"
    crop = write_crops(patients=2).parent / "crops" / "P00" / "n00_s00.jpg"
    arguments = ["--model", "model", str(crop), "--report", str(page)]
    predict_nodules.main([*arguments, "--explain"])
    screen = capsys.readouterr()
    (line,) = (json.loads(text) for text in screen.out.splitlines())
    assert np.shape(line["malignancy"]["occlusion"]) == (32, 32)
    assert f"Wrote {page}" in screen.err.splitlines()
    html = page.read_text(encoding="utf-8")
    assert "level 5, highly suspicious" in html and "speaks for the answer" in html
    with pytest.raises(OutputError, match="page.html: expected a place that can be written to"):
        predict_nodules.main([*arguments[:-1], str(page / "page.html")])
    assert capsys.readouterr().out == ""  # known before anything is predicted


def test_without_the_extra_the_page_is_refused_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "lungdx_paddle.reporting.page", raising=False)
    arguments = ["--model", "gone", "crop.jpg", "--report", "page.html"]
    assert cli.exit_code(predict_nodules.main, arguments) == cli.USER_MISTAKE
    assert "jinja2: expected it to be installed" in capsys.readouterr().err
