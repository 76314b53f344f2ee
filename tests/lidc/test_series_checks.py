"""What is unusual about a series is told in its warnings, with numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.lidc import Series, find_series

WriteSlice = Callable[..., Path]


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def test_missing_slices_are_counted(write_slice: WriteSlice, scan: Path) -> None:
    for z_mm in (0, 2.5, 5, 12.5, 15, 20):
        write_slice(z_mm)
    assert only(scan).warnings == (
        "3 slices missing in 2 gaps of up to 7.5 mm, where 2.5 mm is usual",
    )


def test_uneven_steps_are_measured(write_slice: WriteSlice, scan: Path) -> None:
    for z_mm in (0, 2.5, 5, 7.1):
        write_slice(z_mm)
    assert only(scan).warnings == ("uneven steps of 2.1 to 2.5 mm",)


def test_steps_that_were_rounded_are_even(write_slice: WriteSlice, scan: Path) -> None:
    for z_mm in (0, 1.8, 3.7, 5.5):
        write_slice(z_mm)
    assert only(scan).warnings == ()


def test_gantry_tilt_is_measured(write_slice: WriteSlice, scan: Path) -> None:
    tilt = np.radians(20)
    for z_mm in (0, 2.5, 5):
        tilted = [1, 0, 0, 0, round(np.cos(tilt), 6), round(-np.sin(tilt), 6)]
        write_slice(z_mm, ImageOrientationPatient=tilted)
    series = only(scan)
    assert series.warnings == (
        "gantry tilt of 20.0 degrees: the slices are shifted by 1.71 mm in all",
    )
    assert series.spacing_zyx_mm[0] == pytest.approx(2.5 * np.cos(tilt), abs=1e-4)


@pytest.mark.parametrize(
    ("orientation", "plane", "warning"),
    [
        ([1, 0, 0, 0, 0, -1], "coronal", "coronal slices, 90 degrees from axial"),
        ([0, 1, 0, 0, 0, -1], "sagittal", "sagittal slices, 90 degrees from axial"),
        ([1, 0, 0, 0, 0.866025, 0.5], "axial", "oblique slices, 30 degrees from axial"),
        ([0.965926, 0, 0.258819, 0, 1, 0], "axial", "oblique slices, 15 degrees from axial"),
    ],
)
def test_other_planes_than_axial_are_named_with_their_angle(
    write_slice: WriteSlice,
    scan: Path,
    orientation: Sequence[float],
    plane: str,
    warning: str,
) -> None:
    normal = np.cross(orientation[:3], orientation[3:])
    for number in range(3):
        place = (2.5 * number * normal).tolist()
        write_slice(number, ImageOrientationPatient=orientation, ImagePositionPatient=place)
    series = only(scan)
    assert series.plane == plane
    assert series.warnings == (f"{warning}: readers and models know axial ones",)


@pytest.mark.parametrize(
    "orientation",
    [[-1, 0, 0, 0, -1, 0], [0, 1, 0, -1, 0, 0], [0.9986, 0.0523, 0, -0.0523, 0.9986, 0]],
)
def test_turned_axial_slices_are_axial(
    write_slice: WriteSlice, scan: Path, orientation: Sequence[float]
) -> None:
    for z_mm in (0, 2.5, 5):
        write_slice(z_mm, ImageOrientationPatient=orientation)
    assert only(scan).warnings == ()


def test_slices_without_rescale_are_counted(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(0)
    write_slice(2.5, RescaleSlope=None)
    write_slice(5, RescaleIntercept=None, RescaleSlope=None)
    assert only(scan).warnings == (
        "2 of 3 slices lack RescaleIntercept or RescaleSlope: their values may be no HU",
    )


def test_what_should_be_one_for_a_series_is_told_where_it_is_not(
    write_slice: WriteSlice, scan: Path
) -> None:
    for number, z_mm in enumerate((0, 2.5, 5)):
        odd = number == 0
        write_slice(
            z_mm,
            PatientID="B" if odd else "A",
            StudyInstanceUID="1.2.9" if odd else "1.2",
            FrameOfReferenceUID="1.7" if odd else "1.8",
        )
    series = only(scan)
    assert (series.patient_id, series.study_uid) == ("A", "1.2")
    assert series.warnings == (
        "slices of 2 patients by PatientID: A (2), B (1)",
        "slices of 2 studies by StudyInstanceUID: 1.2 (2), 1.2.9 (1)",
        "slices of 2 coordinate systems by FrameOfReferenceUID: 1.8 (2), 1.7 (1)",
    )


def test_a_patient_id_that_some_slices_lack_is_that_of_the_others(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(0, PatientID=None)
    write_slice(2.5)
    series = only(scan)
    assert (series.patient_id, series.warnings) == ("LIDC-IDRI-9999", ())


def test_an_attribute_that_was_ignored_is_one_line_with_an_example(
    write_slice: WriteSlice, scan: Path
) -> None:
    for number, z_mm in enumerate((0, 2.5, 5)):
        path = write_slice(z_mm)
        path.write_bytes(path.read_bytes().replace(b"-600", b"n/%d " % number))
    assert only(scan).warnings == ("3 slices: WindowCenter is no number: 'n/0 .0', ignored",)
