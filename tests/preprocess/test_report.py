"""report.json names what failed, what is missing and what was left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.errors import LidcError, OutputError
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.report import attempt
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


def test_a_series_without_xml_is_reported(
    collection: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    (collection / "LIDC-IDRI-0001" / "1.2.1" / "001.xml").unlink()
    report = preprocess(collection, tmp_path / "out")
    assert series_of(tmp_path / "out")["1.2.1"]["status"] == "no annotations"
    assert "1 series without LIDC XML: LIDC-IDRI-0001" in report_lines(report)


def test_other_files_are_skipped_and_counted(collection: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "LICENSE"):
        (collection / name).write_text("hello")
    (collection / "empty.dcm").touch()
    report = preprocess(collection, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    counts = {reason: s["files"] for reason, s in content["skipped_files"].items()}
    assert counts == {"no DICOM file": 3, "an empty file": 1}
    assert "3 files left out: no DICOM file" in report_lines(report)


def test_what_fails_is_a_reason_but_a_full_disk_ends_all() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert attempt(fail, ZeroDivisionError("by zero")) == "ZeroDivisionError: by zero"
    broken = LidcError("a.dcm", expected="pixels", found="none", fix="download it again")
    assert attempt(fail, broken) == "a.dcm: expected pixels, found none; download it again"
    with pytest.raises(OutputError):
        attempt(fail, OutputError("out", expected="space", found="none", fix="free some"))
