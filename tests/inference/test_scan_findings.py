"""One CT, the whole way: the nodules that readers marked, and a point that a user gives."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.commands import predict_nodules
from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError, LidcError, OutputError
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.locate import regions_of_points
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.scan_findings import (
    TRAINED_ON,
    findings_from_points,
    findings_of_regions,
)
from lungdx_paddle.lidc import Series, find_series, read_annotations
from lungdx_paddle.lidc.masks import Area
from lungdx_paddle.lidc.regions import Region, patient_mm
from lungdx_paddle.manifest import Manifest, read_manifest
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small phantom, its crops, and a model of it."""
    folder = tmp_path_factory.mktemp("world")
    write_phantom(folder / "lidc", patients=5, jobs=1)
    preprocess(folder / "lidc", folder / "crops")
    configs = Path(__file__).parents[2] / "configs"
    own = [f"output={folder / 'run'}", f"data.manifest={folder / 'crops'}", "data.split=patient"]
    for made in ("run", "model"):
        (folder / made).mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    export(load_run(folder / "run"), folder / "model")
    return folder


@pytest.fixture
def ct(world: Path) -> Path:
    return next((world / "lidc" / "PHANTOM-0001").rglob("*.xml"))


def predict(world: Path, *arguments: str | Path) -> list[dict[str, Any]]:
    """The JSON lines of the predict command."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        predict_nodules.main(["--model", str(world / "model"), *map(str, arguments)])
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def own_rows(manifest: Manifest, patient: str, nodule: int) -> list[int]:
    return [i for i, r in enumerate(manifest.rows) if (r.patient_id, r.nodule) == (patient, nodule)]


def at(series: Series, finding: dict[str, Any]) -> str:
    """The place of a finding as ``--nodule`` takes it."""
    first = series.slices[0]
    x, y = (
        (finding["place_mm"][k] - first.position_mm[k]) / first.pixel_spacing_mm[0] for k in (0, 1)
    )
    return f"{x:.0f},{y:.0f},{int(abs(series.z_mm - finding['place_mm'][2]).argmin())}"


def test_a_ct_gives_the_mean_of_what_its_crops_give(world: Path, ct: Path) -> None:
    manifest = read_manifest(world / "crops")
    of_rows = predict(world, "--manifest", world / "crops" / "manifest.csv")
    findings = predict(world, "--series", ct.parent, "--xml", ct)
    assert [f["nodule"] for f in findings] == list(range(len(findings))) != []
    for finding in findings:
        rows = own_rows(manifest, "PHANTOM-0001", finding["nodule"])
        assert finding["slices"] == len(rows)
        z_mm = [manifest.rows[i].z_mm or 0.0 for i in rows]
        assert min(z_mm) <= finding["place_mm"][2] <= max(z_mm)
        for k in range(5):  # the crops went through JPG, which moves gray values a little
            mean = slice_weights(z_mm) @ [
                of_rows[i]["malignancy"]["probabilities"][k] for i in rows
            ]
            assert finding["malignancy"]["probabilities"][k] == pytest.approx(mean, abs=0.05)


def test_a_ct_that_the_model_was_trained_on_is_told(world: Path) -> None:
    record = load_run(world / "run").record
    part_of = {row.patient_id: part for row, part in zip(record.rows, record.parts)}
    assert set(part_of.values()) == {"train", "test"}
    for patient, part in part_of.items():
        xml = next((world / "lidc" / patient).rglob("*.xml"))
        finding = predict(world, "--series", xml.parent, "--xml", xml)[0]
        assert (TRAINED_ON in finding.get("warnings", [])) == (part == "train"), patient


def test_a_point_in_a_nodule_finds_its_place(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    large = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    (finding,) = predict(world, "--series", ct.parent, "--nodule", at(series, large))
    assert finding["slices"] == pytest.approx(large["slices"], abs=3)
    assert finding["place_mm"] == pytest.approx(large["place_mm"], abs=8)
    assert finding["diameter_mm"] == pytest.approx(large["diameter_mm"], rel=0.3)


def test_a_finding_says_what_was_taken_as_the_nodule(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    outlined = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    assert 0 < outlined["area_mm2"] <= np.pi / 4 * (outlined["diameter_mm"] + 2) ** 2
    assert 0 < outlined["scale"] <= 1 and -900 < outlined["mean_hu"] < 300
    (finding,) = predict(world, "--series", ct.parent, "--nodule", at(series, outlined))
    assert finding["distance_mm"] <= 2 and 0 < finding["scale"] <= 1
    assert finding["area_mm2"] > 0 and -900 < finding["mean_hu"] < 300


def test_points_are_checked_before_one_is_answered(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    slices, rows, columns = series.shape_zyx
    edge = columns - 1, 0, slices - 1
    predictor = Predictor(world / "model")
    (region,) = regions_of_points(series, [(columns - 0.4, rows - 0.4, 0)])
    assert region.about["reason"].startswith("nothing denser than lung at the point")
    x, y, index = edge
    outside = ((x + 1, y, index), (-1, y, index), (x, rows, index), (x, y, slices), (x, y, -1))
    for point in (*outside, (float("nan"), y, index)):
        with pytest.raises(LidcError, match=f"x below {columns}, y below {rows} and a slice below"):
            next(findings_from_points(predictor, ct.parent, [edge, point]))


def test_a_point_without_a_nodule_is_refused_and_does_not_hide_the_others(
    world: Path, ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (series,), _ = find_series(ct.parent)
    outlined = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    air = ["--nodule", "2,2,1"]
    first, second = predict(world, "--series", ct.parent, *air, "--nodule", at(series, outlined))
    assert first["slices"] == 0 and "malignancy" not in first and "malignancy" in second
    assert f"warning: nodule 0: {first['reason']}" in capsys.readouterr().err.splitlines()
    with pytest.raises(LidcError, match="where one is marked, found nothing denser than lung"):
        predict(world, "--series", ct.parent, *air, *air)


def test_doubts_are_in_the_finding_and_once_on_the_screen(
    world: Path, ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (series,), _ = find_series(ct.parent)
    wall = np.argwhere(series.slice_hu(9) > 0)[0]
    point = ["--nodule", f"{wall[1]},{wall[0] + 8},9"]
    first, second = predict(world, "--series", ct.parent, *point, *point)
    assert any(doubt.startswith("nodule 0: ") for doubt in first["warnings"])
    assert any(doubt.startswith("nodule 1: ") for doubt in second["warnings"])
    screen = capsys.readouterr().err.splitlines()
    told = [line.removeprefix("warning: ") for line in screen if line.startswith("warning: ")]
    assert told == list(dict.fromkeys([*first["warnings"], *second["warnings"]]))


def test_what_cannot_be_predicted_is_an_error(world: Path, ct: Path) -> None:
    other = next((world / "lidc" / "PHANTOM-0002").rglob("*.xml"))
    with pytest.raises(LidcError, match="found 1 other series: .*; give the folder of the CT that"):
        predict(world, "--series", ct.parent, "--xml", other)
    with pytest.raises(LidcError, match="one CT series, found 5 series: .*--series-uid UID"):
        predict(world, "--series", world / "lidc", "--nodule", "1,1,1")
    for point in ("9999,1,1", "1,9999,1", "1,1,9999"):
        with pytest.raises(LidcError, match="all from 0, found a point outside the CT"):
            predict(world, "--series", ct.parent, "--nodule", point)
    with pytest.raises(ConfigError, match="expected x,y,slice, found '1,2'"):
        predict(world, "--series", ct.parent, "--nodule", "1,2")
    for request in (
        [],
        ["--series", ct.parent],
        ["a.jpg", "--manifest", ct],
        ["a.jpg", "--series-uid", "1.2"],
    ):
        with pytest.raises(ConfigError, match="see tools/predict.py --help"):
            predict(world, *request)


def test_one_of_several_series_is_chosen_by_its_uid(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    outlined = predict(world, "--series", ct.parent, "--xml", ct)
    point = at(series, max(outlined, key=lambda f: f["slices"]))
    alone = predict(world, "--series", ct.parent, "--nodule", point)
    uid = alone[0]["series_uid"]
    for given in (uid, uid[-10:]):
        one = ["--series", world / "lidc", "--series-uid", given]
        assert predict(world, *one, "--nodule", point) == alone
        assert predict(world, *one, "--xml", ct) == outlined


def test_marks_of_another_ct_are_not_taken_for_those_of_the_series(
    world: Path, ct: Path, tmp_path: Path
) -> None:
    other = next((world / "lidc" / "PHANTOM-0002").rglob("*.xml"))
    (series,), _ = find_series(ct.parent)
    with pytest.raises(LidcError, match=r"none of the \d+ slices that .*xml outlines is in the"):
        predict(
            world, "--series", ct.parent, "--xml", other, "--series-uid", series.series_uid[-9:]
        )
    study = tmp_path / "study.xml"
    study.write_text(ct.read_text("utf-8").replace(series.study_uid, "1.2.3"), encoding="utf-8")
    for finding in predict(world, "--series", ct.parent, "--xml", study):
        assert finding["warnings"] == [
            f"the XML names study 1.2.3, the DICOM {series.study_uid}: "
            "another CT, or one of them was anonymised again"
        ]


def test_outlines_off_the_slices_are_told(world: Path, ct: Path, tmp_path: Path) -> None:
    (series,), _ = find_series(ct.parent)
    columns = series.shape_zyx[2]
    readings = read_annotations(ct).readings
    shift = columns - max(int(c.points_xy[:, 0].max()) for r in readings for c in r.contours) + 2
    moved = tmp_path / "moved.xml"
    marks = re.sub(
        r"<xCoord>(\d+)",
        lambda found: f"<xCoord>{int(found[1]) + shift}",
        ct.read_text(encoding="utf-8"),
    )
    moved.write_text(marks, encoding="utf-8")
    findings = predict(world, "--series", ct.parent, "--xml", moved)
    told = [text for finding in findings for text in finding.get("warnings", [])]
    assert [text for text in told if f", off the slices of {columns}x" in text]
    moved.write_text(re.sub("<xCoord>", "<xCoord>4", ct.read_text("utf-8")), encoding="utf-8")
    with pytest.raises(LidcError, match="found no outline of moved.xml that encloses a pixel"):
        predict(world, "--series", ct.parent, "--xml", moved)


def test_marks_without_an_outlined_nodule_are_nothing_to_predict(
    world: Path, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.xml"
    rest = re.sub(r"(?s)<unblindedReadNodule>.*?</unblindedReadNodule>", "", ct.read_text("utf-8"))
    empty.write_text(rest, encoding="utf-8")
    assert predict(world, "--series", ct.parent, "--xml", empty) == []
    assert f"nothing to predict: {empty} outlines no nodule" in capsys.readouterr().err


def test_an_xml_whose_slices_are_all_missing_ends_in_an_error(
    world: Path, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.xml"
    text = re.sub(r"(<imageSOP_UID>\s*)", r"\g<1>9.", ct.read_text(encoding="utf-8"))
    other.write_text(text, encoding="utf-8")
    arguments = ["--model", str(world / "model"), "--series", str(ct.parent), "--xml", str(other)]
    with pytest.raises(LidcError, match=r"found none of the \d+ slices that other.xml outlines"):
        predict_nodules.main(arguments)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines and all(line["slices"] == 0 for line in lines)
    for line in lines:
        assert (
            line["reason"]
            == f"none of its {line['missing_slices']} outlined slices is in the series"
        )


def test_a_nodule_whose_slices_are_missing_has_a_line_that_says_so(
    world: Path, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    everything = predict(world, "--series", ct.parent, "--xml", ct)
    kept = sorted(ct.parent.glob("*.dcm"))[:2]
    for path in kept:
        shutil.copy(path, tmp_path)
    capsys.readouterr()
    few = predict(world, "--series", tmp_path, "--xml", ct)
    told = capsys.readouterr().err
    assert [line["nodule"] for line in few] == [line["nodule"] for line in everything]
    gone = [line for line in few if line["slices"] == 0]
    assert gone and all("malignancy" not in line and line["missing_slices"] for line in gone)
    for line in gone:
        assert f"warning: nodule {line['nodule']}: {line['reason']}" in told
    some = [line for line in few if line["slices"] and "missing_slices" in line]
    for line in some:
        outlined = line["slices"] + line["missing_slices"]
        words = f"{line['missing_slices']} of {outlined} outlined slices are not in the series"
        assert f"nodule {line['nodule']}: {words}" in line["warnings"]
    assert some


def test_nodules_that_were_written_as_a_segmentation_are_found_again(
    world: Path, ct: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("highdicom", reason="the extra sr is not installed")
    seg, report = tmp_path / "out" / "seg.dcm", tmp_path / "out" / "sr.dcm"
    outputs = ("--seg-out", seg, "--sr", report)
    outlined = predict(world, "--series", ct.parent, "--xml", ct, *outputs)
    written = f"{len(outlined)} nodule{'s' * (len(outlined) > 1)} in {report}"
    assert written in capsys.readouterr().err.splitlines() and report.stat().st_size > 2**10
    # Of all patients' series, the one that the segmentation names.
    read = predict(world, "--series", world / "lidc", "--seg", seg)
    assert [line["nodule"] for line in read] == [line["nodule"] + 1 for line in outlined]
    for its, line in zip(read, outlined):
        assert (its["marked_by"], its["name"]) == ("SEG", f"nodule {line['nodule']}")
        same = ("series_uid", "slices", "place_px", "outline", "malignancy", "pathology")
        assert [its.get(name) for name in same] == [line.get(name) for name in same]


def test_a_nodule_is_the_same_however_it_is_named(world: Path, ct: Path, tmp_path: Path) -> None:
    (series,), _ = find_series(ct.parent)
    outlined = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    point = at(series, outlined)
    (wanted,) = predict(world, "--series", ct.parent, "--nodule", point)
    x, y, index = point.split(",")
    slice_ = series.slices[int(index)]
    (place,) = patient_mm(slice_, np.array([[float(x), float(y)]]))
    spelled = ",".join(f"{mm:.4f}" for mm in place)
    points = tmp_path / "nodule-locations.json"
    points.write_text(
        json.dumps({"points": [{"name": "left", "point": place.tolist()}]}), encoding="utf-8"
    )
    for arguments in (
        ["--nodule", f"{x},{y},instance={slice_.instance}"],
        ["--nodule", f"{x},{y},z={slice_.position_mm[2]}"],
        ["--nodule", f"{x},{y},file={Path(str(slice_.file)).name}"],
        [f"--point-mm={spelled}"],
        ["--points", points],
        [f"--box={int(x) - 40},{int(y) - 40},0,{int(x) + 40},{int(y) + 40},{2 * int(index)}"],
    ):
        (found,) = predict(world, "--series", ct.parent, *arguments)
        for name in ("place_mm", "slices", "malignancy", "pathology"):
            assert found[name] == wanted[name], arguments
    assert found["marked_by"] == "box"


def test_a_box_keeps_to_itself(world: Path, ct: Path) -> None:
    (series,), _ = find_series(ct.parent)
    outlined = max(predict(world, "--series", ct.parent, "--xml", ct), key=lambda f: f["slices"])
    x, y, index = map(int, at(series, outlined).split(","))
    box = f"--box={x - 2},{y - 3},{index},{x + 2},{y + 3},{index}"
    (found,) = predict(world, "--series", ct.parent, box)
    assert found["slices"] == 1
    (outline,) = found["outline"]
    columns, rows = np.transpose(outline)
    assert x - 2 <= columns.min() <= columns.max() <= x + 2
    assert y - 3 <= rows.min() <= rows.max() <= y + 3


def test_a_place_off_the_ct_is_refused(world: Path, ct: Path) -> None:
    with pytest.raises(LidcError, match=r"point 0,0,9999: expected a place in the CT, .* mm off"):
        predict(world, "--series", ct.parent, "--point-mm=0,0,9999")


def test_lines_are_pooled_by_patient_and_printed_as_a_table(
    world: Path, ct: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodules = predict(world, "--series", ct.parent, "--xml", ct)
    (patient,) = predict(world, "--series", ct.parent, "--xml", ct, "--by", "patient")
    most = max(nodules, key=lambda f: f["malignancy"]["expected_level"])
    assert patient["nodules"] == len(nodules) and patient["most_suspicious"] == most["nodule"]
    assert patient["malignancy"] == most["malignancy"]
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        predict_nodules.main(
            ["--model", str(world / "model"), "--series", str(ct.parent), "--xml", str(ct), "--csv"]
        )
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert [int(row["nodule"]) for row in rows] == [f["nodule"] for f in nodules]
    for row, finding in zip(rows, nodules):
        assert float(row["malignancy_p_3"]) == finding["malignancy"]["probabilities"][2]
        assert row["malignancy_word"] == finding["malignancy"]["word"]
        assert row["place_mm"] == ";".join(map(str, finding["place_mm"]))
        assert row["warnings"] == "; ".join(finding.get("warnings", []))


def test_no_output_takes_the_place_of_an_input_or_of_another_output(
    world: Path, ct: Path, tmp_path: Path
) -> None:
    page = str(tmp_path / "page.html")
    slice_ = next(ct.parent.glob("*.dcm"))
    before = slice_.read_bytes()
    for outputs in (
        ["--report", str(slice_)],
        ["--report", str(ct)],
        ["--report", page, "--sr", page],
    ):
        with pytest.raises(ConfigError, match="expected a file of its own for each output"):
            predict(world, "--series", ct.parent, "--xml", ct, *outputs)
    assert slice_.read_bytes() == before
    with pytest.raises(OutputError, match="expected the path of a file, found a folder"):
        predict(world, "--series", ct.parent, "--xml", ct, "--report", tmp_path)


def test_what_is_too_wide_for_a_nodule_has_no_answer_and_a_mass_a_doubt(
    world: Path, ct: Path
) -> None:
    (series,), _ = find_series(ct.parent)
    mm = series.spacing_zyx_mm[1]
    sides = [int(wide / mm) for wide in (10, 40, 120)]
    regions = [
        Region(series, number, {3: Area((100, 100), np.ones((side, 5), bool))}, "SEG")
        for number, side in enumerate(sides)
    ]
    small, mass, organ = findings_of_regions(Predictor(world / "model"), series, regions)
    assert small.probabilities is not None and "mm wide" not in "".join(small.warnings)
    assert "nodule 1: 39 mm" in "".join(mass.warnings) and "a mass rather than" in mass.warnings[-1]
    assert organ.probabilities is None and "mm wide: no nodule" in organ.about["reason"]


def test_a_gap_within_a_nodule_is_doubted(world: Path, ct: Path, tmp_path: Path) -> None:
    (whole,), _ = find_series(ct.parent)
    for index, slice_ in enumerate(whole.slices):
        if index != 5:
            shutil.copy(str(slice_.file), tmp_path)
    (series,), _ = find_series(tmp_path)
    areas = {index: Area((100, 100), np.ones((9, 9), bool)) for index in (3, 4, 5)}
    region = Region(series, 0, areas, "SEG")
    (finding,) = findings_of_regions(Predictor(world / "model"), series, [region])
    assert "nodule 0: slices are missing within it: its volume is too small" in finding.warnings
