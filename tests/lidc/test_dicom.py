"""Any folder or zip of CT files becomes series of HU slices; what is no slice is named."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.slices import Slice

WriteSlice = Callable[..., Path]


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def test_slices_run_caudal_to_cranial_whatever_their_names_and_numbers(
    write_slice: WriteSlice, scan: Path
) -> None:
    for z_mm, name, number in [
        (5, "1-001", 1),
        (-2.5, "deep/er/x", 3),
        (0, "Z.IMA", 2),
        (2.5, "a", 9),
    ]:
        write_slice(z_mm, name=name, InstanceNumber=number)
    series = only(scan)
    assert series.z_mm.tolist() == [-2.5, 0, 2.5, 5]
    assert series.shape_zyx == (4, 6, 5)
    assert series.spacing_zyx_mm == (2.5, 0.8, 0.7)
    assert series.warnings == ()
    assert series.patient_id == "LIDC-IDRI-9999"
    assert [series.index_of(uid) for uid in series.sop_uids] == [0, 1, 2, 3]
    assert series.index_of("9.9") is None


def test_a_series_that_was_scanned_upside_down_runs_caudal_to_cranial(
    write_slice: WriteSlice, scan: Path
) -> None:
    for z_mm in (0, 2.5, 5):
        write_slice(z_mm, ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    assert only(scan).z_mm.tolist() == [0, 2.5, 5]


def test_two_series_of_one_patient_stay_apart(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(0, name="a", SeriesInstanceUID="1.2.4")
    write_slice(0, name="b", SeriesInstanceUID="1.2.3")
    series, _ = find_series(scan)
    assert [s.series_uid for s in series] == ["1.2.3", "1.2.4"]


def test_a_series_can_be_sent_to_another_process(write_slice: WriteSlice, scan: Path) -> None:
    write_slice()
    series = only(scan)
    copy = pickle.loads(pickle.dumps(series))
    assert np.array_equal(copy.volume_hu(), series.volume_hu())


def test_one_slice_takes_its_step_from_its_thickness(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(SliceThickness=1.25)
    assert only(scan).spacing_zyx_mm == (1.25, 0.8, 0.7)


# What is no slice of the series.


def reasons(source: Path) -> dict[str, str]:
    _, skipped = find_series(source)
    return {Path(s.path).name: s.reason for s in skipped}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localizer"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "Segmentation Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, "Comprehensive SR Storage"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.1.1"}, "Digital X-Ray"),
        ({"SOPClassUID": None, "Modality": "MR"}, "modality MR"),
        ({"SamplesPerPixel": 3}, "colour"),
        ({"ImagePositionPatient": None}, "no ImagePositionPatient"),
        ({"ImageOrientationPatient": [1, 0, 0]}, "ImageOrientationPatient has 3 numbers where 6"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"Rows": None}, "no Rows"),
        ({"Rows": 0}, "Rows is out of range (1 to 8192): '0'"),
        ({"PixelSpacing": [0, 0]}, "PixelSpacing is out of range"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "no two directions at right angles"),
        ({"NumberOfFrames": 2, "Rows": 3}, "2 frames with 1 positions"),
        ({"BitsAllocated": 32}, "32 bits a pixel"),
        ({"SeriesInstanceUID": None}, "no SeriesInstanceUID"),
        ({"Rows": 7}, "cut off: 60 of 70 bytes"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_slice_is_skipped_with_the_reason(
    write_slice: WriteSlice, scan: Path, changes: dict[str, Any], reason: str
) -> None:
    write_slice(0)
    write_slice(2.5)
    write_slice(5, name="odd", **changes)
    (series,), _ = find_series(scan)
    assert len(series.sop_uids) == 2
    assert list(reasons(scan)) == ["odd"]
    assert reason in reasons(scan)["odd"]


def test_a_folder_without_ct_has_no_series(tmp_path: Path) -> None:
    assert find_series(tmp_path) == ([], [])


def test_a_series_of_many_grids_keeps_the_usual_one(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0

    def counted(one: Slice, other: Slice) -> bool:
        nonlocal compared
        compared += 1
        return False

    monkeypatch.setattr("lungdx_paddle.lidc.dicom._same_grid", counted)
    monkeypatch.setattr("lungdx_paddle.lidc.dicom.MOST_GRIDS", 3)
    for number in range(8):
        write_slice(number, name=f"a{number}", PixelSpacing=[0.5, 0.5 + number / 10])
    write_slice(20, name="b1")
    write_slice(22, name="b2")
    (series,), skipped = find_series(scan)
    assert (len(series.slices), len(skipped)) == (2, 8)
    assert compared <= 9 * 3


# What is unusual is reported, with numbers.


def test_two_slices_at_one_place_are_both_kept(write_slice: WriteSlice, scan: Path) -> None:
    for number, z_mm in enumerate((0, 2.5, 2.5, 5)):
        uid = f"1.9.{number}"
        write_slice(z_mm, name=uid, SOPInstanceUID=uid, InstanceNumber=9 - number)
    series = only(scan)
    assert series.sop_uids == ("1.9.0", "1.9.2", "1.9.1", "1.9.3")
    assert series.spacing_zyx_mm[0] == 2.5
    assert series.warnings == ("1 slices lie at the place of another one",)


def test_spacings_and_directions_are_compared_by_nearness(
    write_slice: WriteSlice, scan: Path
) -> None:
    for k, jitter in enumerate((0, 1e-8, -1e-8, 1e-8)):
        direction = [1, jitter, 0, 0, 1, 4e-4 * k]
        write_slice(2.5 * k, PixelSpacing=[0.8 + jitter, 0.7], ImageOrientationPatient=direction)
    write_slice(20, name="odd", PixelSpacing=[0.81, 0.7])
    (series,), _ = find_series(scan)
    assert len(series.slices) == 3, "the last one is tilted by more than 0.001"
    assert set(reasons(scan)) == {"7.5.dcm", "odd"}


# How the pixels are packed.


# The real collection.


@pytest.mark.lidc
def test_real_series_are_read_from_their_archive(lidc_folder: Path) -> None:
    found, skipped = find_series(lidc_folder / "lidc-dicom.zip")
    assert [Path(s.path).suffix for s in skipped] == [".xml", ".xml"]
    first, partial = found
    assert (first.patient_id, first.shape_zyx) == ("LIDC-IDRI-0001", (133, 512, 512))
    assert first.spacing_zyx_mm == (2.5, 0.703125, 0.703125)
    assert first.z_mm[[0, -1]].tolist() == [-340, -10]
    assert first.header_window == (-600, 1600)
    assert first.warnings == ()
    assert partial.warnings == (
        "47 slices missing in 7 gaps of up to 35 mm, where 2.5 mm is usual",
    )
    slice_hu = first.slice_hu(60)
    assert slice_hu[0, 0] == -1000  # outside the scanned circle
    assert -1200 < slice_hu.min() and 1000 < slice_hu.max() <= 3071
