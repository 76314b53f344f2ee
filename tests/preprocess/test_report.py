"""report.json names what failed, what is missing and what was left out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.errors import LidcError, OutputError
from lungdx_paddle.lidc import Skipped
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.report import attempt
from lungdx_paddle.preprocess.source_names import named
from lungdx_paddle.workers import executor


def test_a_report_is_one_line_in_a_notebook(collection: Path, tmp_path: Path) -> None:
    report = preprocess(collection, tmp_path / "out")
    assert repr(report).startswith("Report(paper crops: 3 series, 3 done, 1 diagnosed_patients,")


def test_a_series_that_fails_costs_only_itself(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    broken = collection / "LIDC-IDRI-0002" / "1.2.2" / "000001.dcm"
    header = pydicom.dcmread(broken)
    header.PixelData = encapsulate([b"no run lengths"])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = RLELossless
    header.save_as(str(broken))
    with executor(2) as pool:
        report = preprocess(collection, tmp_path / "out", pool=pool)
    series = series_of(tmp_path / "out")
    assert [s["status"] for s in series.values()] == ["done", "failed", "done"]
    assert "000001.dcm" in series["1.2.2"]["reason"]
    lines = report_lines(report)
    assert lines[0].startswith("2 of 3 series done")
    assert lines[1].startswith("LIDC-IDRI-0002: failed: ")
    assert {r.series_uid for r in read_manifest(tmp_path / "out").rows} == {"1.2.1", "1.2.3"}


def test_where_every_series_fails_the_first_reason_is_in_the_error(
    collection: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        LidcError, match="3 that cannot, the first because .* a window in the DICOM"
    ):
        preprocess(collection, tmp_path / "out", crops=CropSettings(window=None))


def test_slices_of_the_xml_that_are_not_there_are_named(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    (collection / "LIDC-IDRI-0001" / "1.2.1" / "000003.dcm").unlink()
    report = preprocess(collection, tmp_path / "out")
    missing = series_of(tmp_path / "out")["1.2.1"]["missing_slices"]
    assert missing == [{"sop_uid": "1.2.1.3", "z_mm": 7.5}]
    assert "1 outlined slice missing, see report.json: LIDC-IDRI-0001 (1)" in report_lines(report)
    assert len(read_manifest(tmp_path / "out")) == 6


def test_patients_whose_ids_are_nearly_one_are_named(collection: Path, tmp_path: Path) -> None:
    for path in (collection / "LIDC-IDRI-0002").rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PatientID = "lidc-IDRI- 0001"
        header.save_as(str(path))
    (line,) = (li for li in report_lines(preprocess(collection, tmp_path / "out")) if "case" in li)
    named_ids = "patients 'LIDC-IDRI-0001' and 'lidc-IDRI- 0001' differ only by case or blanks"
    assert line.startswith(named_ids)


def test_a_series_without_xml_is_reported(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    (collection / "LIDC-IDRI-0001" / "1.2.1" / "001.xml").unlink()
    report = preprocess(collection, tmp_path / "out")
    assert series_of(tmp_path / "out")["1.2.1"]["status"] == "no annotations"
    assert "1 series without LIDC XML: LIDC-IDRI-0001" in report_lines(report)


def spoil(folder: Path, old: str, new: str) -> None:
    (xml,) = folder.rglob("*.xml")
    xml.write_text(xml.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")


def test_xml_that_was_refused_is_named_with_its_reason(collection: Path, tmp_path: Path) -> None:
    spoil(collection / "LIDC-IDRI-0001", "<malignancy>5", "<malignancy>high")
    lines = report_lines(preprocess(collection, tmp_path / "out"))
    assert "1 series without LIDC XML: LIDC-IDRI-0001" in lines
    (line,) = (line for line in lines if "001.xml" in line)
    assert line.startswith("left out: LIDC-IDRI/LIDC-IDRI-0001/1.2.1/001.xml: expected a malig")
    assert "found 'high'" in line


def test_two_files_of_a_series_that_differ_are_both_named(collection: Path, tmp_path: Path) -> None:
    folder = collection / "LIDC-IDRI-0001" / "1.2.1"
    shutil.copy(folder / "001.xml", folder / "001_corrected.xml")
    quiet = report_lines(preprocess(collection, tmp_path / "out"))
    assert not any("corrected" in line for line in quiet)
    corrected = (folder / "001.xml").read_text(encoding="utf-8").replace(">5</mal", ">1</mal")
    (folder / "001_corrected.xml").write_text(corrected, encoding="utf-8")
    (line,) = (x for x in report_lines(preprocess(collection, tmp_path / "out")) if "corr" in x)
    assert "1.2.1/001_corrected.xml: says something else" in line
    assert "1.2.1/001.xml, which comes first by name" in line


def test_xml_of_other_series_is_told_where_one_has_none(collection: Path, tmp_path: Path) -> None:
    spoil(collection / "LIDC-IDRI-0001", "Uid>1.2.1<", "Uid>1.9.9<")
    lines = report_lines(preprocess(collection, tmp_path / "out"))
    (line,) = (line for line in lines if "1.9.9" in line)
    assert line.startswith("the XML files name 1 other series, such as 1.9.9; the first without")
    assert "1.2.1" in line and "anonymised" in line


def test_a_series_that_gives_no_crop_is_told_and_nothing_but_such_is_an_error(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    spoil(collection / "LIDC-IDRI-0001", "UID>1.2.1.", "UID>1.9.9.")
    spoil(collection / "LIDC-IDRI-0002" / "1.2.2", "unblindedReadNodule", "somethingElse")
    lines = report_lines(preprocess(collection, tmp_path / "out"))
    absent = "3 of 3 outlined slices not in the series (such as SOP UID 1.9.9.1)"
    assert f"1 series without a crop, {absent}: LIDC-IDRI-0001" in lines
    assert "1 series without a crop, no reader outlined a nodule: LIDC-IDRI-0002" in lines
    shutil.rmtree(collection / "LIDC-IDRI-0002" / "1.2.3")
    with pytest.raises(LidcError, match="none in 2 series, the first because 3 of 3 outlined"):
        preprocess(collection, tmp_path / "none")
    assert series_of(tmp_path / "none")["1.2.1"]["crops"] == 0
    assert not (tmp_path / "none" / "manifest.csv").exists()


def test_doubts_about_marks_reach_the_report_and_the_screen(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    spoil(collection / "LIDC-IDRI-0001", "position>5.0", "position>50.0")
    report = preprocess(collection, tmp_path / "out")
    (warning,) = series_of(tmp_path / "out")["1.2.1"]["warnings"]
    assert warning.startswith("1 of 3 outlined slices elsewhere in the XML")
    assert f"LIDC-IDRI-0001: {warning}" in report_lines(report)
    spoil(collection / "LIDC-IDRI-0001", "position>50.0", "position>5.0")
    assert not preprocess(collection, tmp_path / "out").series[0].warnings, "made anew"


def test_no_folder_above_the_source_is_written(
    collection: Path, tmp_path: Path, files: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    (collection / "a.txt").write_text("hello")
    spoil(collection / "LIDC-IDRI-0001", "<malignancy>5", "<malignancy>high")
    (collection / "LIDC-IDRI-0002" / "1.2.2" / "000001.dcm").write_bytes(b"cut off")
    monkeypatch.chdir(collection)
    preprocess(Path("."), tmp_path / "out")
    written = b"".join(files(tmp_path / "out").values())
    assert b"LIDC-IDRI/a.txt: no DICOM file" in written
    assert str(tmp_path).encode() not in written


def test_an_error_shows_the_path_as_it_was_given(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection.parent)
    with pytest.raises(LidcError, match="^nowhere: expected"):
        preprocess(Path("nowhere"), tmp_path / "out")
    with pytest.raises(LidcError, match="^LIDC-IDRI/../none.zip: expected"):
        preprocess(collection, tmp_path / "out", xml=Path("LIDC-IDRI/../none.zip"))


def test_other_files_are_skipped_and_counted(collection: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "LICENSE"):
        (collection / name).write_text("hello")
    (collection / "empty.dcm").touch()
    report = preprocess(collection, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    counts = {reason: s["files"] for reason, s in content["skipped_files"].items()}
    assert counts == {"no DICOM file": 3, "an empty file": 1}
    assert "3 files left out: no DICOM file" in report_lines(report)


@pytest.mark.parametrize(
    ("text", "named_so"),
    [
        ("/data/data/P1/a.dcm", "data/data/P1/a.dcm"),
        ("/data2/a.dcm", "/data2/a.dcm"),
        ("no CT as (/data/a.dcm) or '/x/marks'", "no CT as (data/a.dcm) or 'marks'"),
        ("/data", "data"),
    ],
)
def test_a_file_is_named_from_its_source_on_and_once(text: str, named_so: str) -> None:
    skipped = Skipped(text, text)
    assert named([skipped], Path("/data"), None, Path("/x/marks")) == [Skipped(named_so, named_so)]


def test_what_fails_is_a_reason_but_a_full_disk_ends_all() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert attempt(fail, ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"
    broken = LidcError("a.dcm", expected="pixels", found="none", fix="download it again")
    assert attempt(fail, broken) == "a.dcm: expected pixels, found none; download it again"
    with pytest.raises(OutputError):
        attempt(fail, OutputError("out", expected="space", found="none", fix="free some"))
