"""A scan in a notebook: a series, its nodules, in one call."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import find_scans

DOCS = Path(__file__).parent.parent.parent / "docs"

WriteSlice = Callable[..., Path]


@pytest.fixture
def scan(write_slice: WriteSlice, tmp_path: Path) -> Path:
    """Three slices of a series."""
    for number, z_mm in enumerate((0, 2, 4)):
        write_slice(z_mm, stored=np.zeros((64, 64), np.int16), SOPInstanceUID=f"1.{number}")
    return tmp_path / "scan"


def test_series_and_nodules_come_together(scan: Path, xml: Any, square: Any) -> None:
    rois = [xml.roi(square(10, 10, 6), f"1.{number}", str(2 * number)) for number in (1, 2)]
    content = xml.message(xml.nodule(*rois), xml.nodule(*rois[:1]))
    (scan / "marks.xml").write_bytes(content)
    (found,) = find_scans(scan)
    (nodule,) = found.nodules
    assert len(nodule.readings) == 2
    assert found.patient_id == found.series.patient_id
    assert [found.series.index_of(uid) for uid in nodule.sop_uids] == [1, 2]
    assert found.nodules is found.nodules  # grouped once


def test_each_value_of_a_scan_is_one_line_in_a_notebook(scan: Path, xml: Any, square: Any) -> None:
    rois = [xml.roi(square(10, 10, 6), f"1.{number}", str(2 * number)) for number in (1, 2)]
    (scan / "marks.xml").write_bytes(xml.message(xml.nodule(*rois, ratings=(4,) * 9)))
    (found,) = find_scans(scan)
    (nodule,) = found.nodules
    (reading,) = nodule.readings
    assert repr(nodule).startswith("Nodule(0: ")
    assert repr(nodule).endswith(" mm on 2 slices, 1 reader, malignancy 4)")
    assert "3 slices of 64 x 64, 2 x " in repr(found.series) and repr(found.series) in repr(found)
    assert repr(reading).endswith(": 2 outlines, malignancy 4)")
    for value in (found, nodule, reading, reading.contours[0], found.series.slices[0]):
        assert len(repr(value)) < 300 and "\n" not in repr(value)


def warnings(folder: Path, content: bytes) -> tuple[str, ...]:
    (folder / "marks.xml").write_bytes(content)
    return find_scans(folder)[0].warnings


def test_marks_that_fit_their_series_need_no_word(scan: Path, xml: Any, square: Any) -> None:
    rois = [xml.roi(square(10, 10, 6), f"1.{number}", f"{2 * number},0") for number in (1, 2)]
    assert warnings(scan, xml.message(xml.nodule(*rois))) == ()


def test_positions_of_the_xml_that_are_not_those_of_the_series_are_told(
    scan: Path, xml: Any, square: Any
) -> None:
    rois = [xml.roi(square(10, 10, 6), f"1.{k}", z) for k, z in enumerate(("0.05", "2", "97.5"))]
    assert warnings(scan, xml.message(xml.nodule(*rois))) == (
        "1 of 3 outlined slices elsewhere in the XML than in the DICOM, which counts: "
        "by up to 93.5 mm",
    )


def test_slices_whose_place_nobody_knows_are_told(scan: Path, xml: Any, square: Any) -> None:
    rois = [xml.roi(square(10, 10, 6), sop, "x") for sop in ("1.1", "1.7")]
    number, place = warnings(scan, xml.message(xml.nodule(*rois)))
    assert number == "2 outlines whose z is no number, such as 'x'"
    assert place.startswith("1 of 2 outlined slices without a place")


def test_another_study_and_outlines_beyond_the_slice_are_told(
    scan: Path, xml: Any, square: Any
) -> None:
    rois = [xml.roi(square(10, 10, 6), "1.1", "2"), xml.roi(square(60, 10, 6), "1.1", "2")]
    content = xml.message(xml.nodule(*rois)).replace(b"UID>1.2<", b"UID>1.9<")
    study, outside = warnings(scan, content)
    assert study.startswith("the XML names study 1.9, the DICOM 1.2:")
    assert outside.startswith("1 of 2 outlines reaching beyond the slice's 64 x 64 pixels")


def test_marks_of_a_ct_with_other_uids_are_named(scan: Path, xml: Any, square: Any) -> None:
    content = xml.message(xml.nodule(xml.roi(square(10, 10, 6), "1.1")), series="1.2.9")
    with pytest.raises(LidcError, match=r"1\.2\.9, where the CT has 1\.2\.3\), as after"):
        warnings(scan, content)


def test_marks_that_were_refused_are_named(scan: Path, xml: Any, square: Any) -> None:
    outline = xml.roi(square(10, 10, 6), "1.1")
    content = xml.message(xml.nodule(outline, ratings=("high",) * 9))
    with pytest.raises(LidcError, match=r"1 XML file left out \(.*marks.xml: .* found 'high'"):
        warnings(scan, content)


def test_scans_without_marks_say_what_to_give(scan: Path) -> None:
    with pytest.raises(LidcError, match="found none for 1 series; give the folder"):
        find_scans(scan)


@pytest.mark.lidc
def test_the_notebook_of_the_docs_prints_what_they_say(lidc_folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(lidc_folder / "lidc-dicom.zip") as archive:
        archive.extractall(tmp_path / "unpacked")
    (patient,) = (p for p in (tmp_path / "unpacked").rglob("LIDC-IDRI-0001") if p.is_dir())
    (tmp_path / "LIDC-IDRI").mkdir()
    (tmp_path / "LIDC-IDRI" / patient.name).symlink_to(patient)
    text = (DOCS / "how-to" / "read_lidc.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.stdout == printed, ran.stderr
    assert (tmp_path / "nodule.png").stat().st_size > 10_000
