"""What a node answers to a study: by its marks, with UIDs that a second answer has too."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.dataset import Dataset
from stub_node import SR, instance

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.predictor import Predictor

pytest.importorskip("highdicom", reason="the extra node is not installed")

from lungdx_paddle.inference import scan_findings
from lungdx_paddle.serving.node.answerer import Answerer


@pytest.fixture
def study(tmp_path: Path, marked_ct: Any) -> Path:
    """A folder with the CT's files, as a node keeps them."""
    folder = tmp_path / "queued_study"
    folder.mkdir()
    for path in marked_ct.files:
        os.link(path, folder / path.name)
    return folder


@pytest.fixture
def points(tmp_path: Path, marked_ct: Any) -> Callable[[Any], Path]:
    """A function that writes a file of points: of the CT's, or as given."""

    def write(content: Any = None) -> Path:
        path = tmp_path / "points.json"
        own = {marked_ct.series.series_uid: marked_ct.places_mm}
        path.write_text(json.dumps(own if content is None else content), encoding="utf-8")
        return path

    return write


def read(results: list[tuple[str, bytes]]) -> list[Dataset]:
    return [pydicom.dcmread(io.BytesIO(content)) for _, content in results]


def add(folder: Path, dataset: Dataset, name: str = "mark.dcm") -> None:
    pydicom.dcmwrite(folder / name, dataset, enforce_file_format=True)


def test_points_give_a_report_and_a_segmentation_of_the_study(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    results = Answerer(predictor, points())(study)
    assert [name for name, _ in results] == ["1-report.dcm", "1-segmentation.dcm"]
    report, mask = read(results)
    assert (report.Modality, mask.Modality) == ("SR", "SEG")
    assert {report.StudyInstanceUID, mask.StudyInstanceUID} == {marked_ct.series.study_uid}
    assert len(mask.SegmentSequence) == len(marked_ct.places_mm)


def test_the_same_study_gives_the_same_uids_and_another_mark_others(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    def uids(*content: Any) -> list[str]:
        made = read(Answerer(predictor, points(*content))(study))
        assert all(d.file_meta.MediaStorageSOPInstanceUID == d.SOPInstanceUID for d in made)
        return [uid for d in made for uid in (d.SOPInstanceUID, d.SeriesInstanceUID)]

    first = uids()
    assert first == uids() and len(set(first)) == 4
    other = uids({marked_ct.series.series_uid: marked_ct.places_mm[:1]})
    assert not set(first) & set(other)


def test_the_points_of_luna25_name_no_series_and_count_for_all(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    named = [{"name": f"P1_{k}", "point": place} for k, place in enumerate(marked_ct.places_mm)]
    path = points({"name": "Points of interest", "type": "Multiple points", "points": named})
    _, mask = read(Answerer(predictor, path)(study))
    assert [item.SegmentLabel for item in mask.SegmentSequence] == ["P1_0", "P1_1"]


def test_a_segmentation_of_the_study_marks_its_nodules_and_our_own_does_not(
    predictor: Predictor, study: Path, points: Callable[..., Path]
) -> None:
    _, mask = read(Answerer(predictor, points())(study))
    add(study, mask)
    with pytest.raises(LidcError, match="found 1 CT series without marks; send what is missing"):
        Answerer(predictor)(study)
    mask.StationName = "a workstation"
    add(study, mask)
    _, again = read(Answerer(predictor)(study))
    assert len(again.SegmentSequence) == len(mask.SegmentSequence)
    assert (again.pixel_array == mask.pixel_array).all()
    both, _ = read(Answerer(predictor, points())(study))  # the points count beside it
    assert str(both).count("Tracking Unique Identifier") == 2 * len(mask.SegmentSequence)


def test_of_two_series_the_marked_one_is_answered(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    for k, path in enumerate(marked_ct.files):
        other = pydicom.dcmread(path)
        other.SeriesInstanceUID, other.SOPInstanceUID = "1.2.3", f"1.2.3.{k}"
        other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
        add(study, other, f"other{k}.dcm")
    report, _ = read(Answerer(predictor, points())(study))
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence
    assert [s.SeriesInstanceUID for s in evidence.ReferencedSeriesSequence] == [
        marked_ct.series.series_uid
    ]


def test_a_mark_that_fits_no_ct_is_told_in_the_report_without_a_path(
    predictor: Predictor,
    study: Path,
    points: Callable[..., Path],
    marked_ct: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    _, mask = read(Answerer(predictor, points())(study))
    mask.StationName, mask.FrameOfReferenceUID = "a workstation", "1.2.3"
    add(study, mask)
    report, _ = read(Answerer(predictor, points())(study))
    text = report.to_json()
    assert "a SEG of frame of reference" in text and study.name not in text
    assert ": mark.dcm: expected a SEG" in caplog.text
    with pytest.raises(LidcError, match="a SEG of frame of reference .*, found one of 1.2.3"):
        Answerer(predictor)(study)
    for path in study.glob("*"):
        if path.name != "mark.dcm":
            path.unlink()
    with pytest.raises(LidcError, match="found a SEG, but no CT"):
        Answerer(predictor)(study)


def test_a_damaged_slice_is_told_in_the_report(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    (study / marked_ct.files[0].name).unlink()
    (study / "damaged.dcm").write_bytes(marked_ct.files[0].read_bytes()[:-9000])
    report, _ = read(Answerer(predictor, points())(study))
    assert "1 file beside the slices left out, such as damaged.dcm: cut off" in report.to_json()


def test_points_outside_the_ct_are_refused(
    predictor: Predictor, study: Path, points: Callable[..., Path], marked_ct: Any
) -> None:
    x, y, z = marked_ct.places_mm[0]
    for place, why in (
        ((x, y, z + 500), "mm off the nearest slice"),
        ((x + 999, y, z), "outside"),
    ):
        with pytest.raises(LidcError, match=why):
            Answerer(predictor, points({marked_ct.series.series_uid: [place]}))(study)
    with pytest.raises(LidcError, match="found 1 CT series without marks"):
        Answerer(predictor, points({"1.2.3": [[1, 2, 3]]}))(study)


def test_what_is_too_wide_for_a_nodule_is_no_nodule(
    predictor: Predictor,
    study: Path,
    points: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scan_findings, "LARGEST_MM", 1.0)
    with pytest.raises(LidcError, match=r"found nodule 1: \d+ mm wide: no nodule"):
        Answerer(predictor, points())(study)


def test_a_study_of_neither_ct_nor_marks_asks_for_no_answer(
    predictor: Predictor, tmp_path: Path
) -> None:
    folder = tmp_path / "reports"
    folder.mkdir()
    add(folder, instance(SR, "1.2", "1.2.3"))
    assert Answerer(predictor)(folder) == []


def test_a_file_of_points_that_has_become_bad_is_told(
    predictor: Predictor, study: Path, points: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigError, match="expected points in mm by series"):
        Answerer(predictor, points([1]))(study)
