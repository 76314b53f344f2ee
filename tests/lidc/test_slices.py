"""Headers of every kind are read; a file that is no CT slice is named with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import ImplicitVRLittleEndian, RLELossless

from lungdx_paddle.lidc import Series, find_series

WriteSlice = Callable[..., Path]


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def reasons(source: Path) -> dict[str, str]:
    _, skipped = find_series(source)
    return {Path(s.path).name: s.reason for s in skipped}


def test_the_first_of_several_windows_is_the_header_window(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(0, WindowCenter=None, WindowWidth=None)
    write_slice(1, WindowCenter=[40, -600], WindowWidth=[400, 1500])
    assert only(scan).header_window == (40, 400)


def test_a_series_without_window_has_none(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(WindowCenter=None)
    assert only(scan).header_window is None


def test_modality_manufacturer_and_patient_may_be_missing(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(Modality=None, Manufacturer=None, PatientID=None, InstanceNumber=None)
    assert only(scan).patient_id == "1.2.3"


def test_files_that_are_no_dicom_are_skipped_with_the_reason(
    write_slice: WriteSlice, scan: Path
) -> None:
    whole = write_slice(0).read_bytes()
    (scan / "notes.txt").write_text("LIDC")
    (scan / "empty.dcm").touch()
    (scan / "head.dcm").write_bytes(whole[:200])
    (scan / "tag.dcm").write_bytes(whole[: whole.index(b"LIDC-IDRI-9999") + 3])
    (scan / "garbage.dcm").write_bytes(whole[:132] + bytes(range(256)) * 4)
    (scan / "garbage_without_preamble").write_bytes(b"\x08\x00" + bytes(range(256)) * 4)
    found = reasons(scan)
    assert found["notes.txt"] == "no DICOM file"
    assert found["empty.dcm"] == "an empty file"
    assert set(found) == {path.name for path in scan.iterdir()} - {"0.dcm"}


def test_a_slice_that_is_cut_off_costs_only_itself(write_slice: WriteSlice, scan: Path) -> None:
    for z_mm in (0, 2.5, 5, 7.5):
        path = write_slice(z_mm)
    path.write_bytes(path.read_bytes()[:-10])
    (series,), (skipped,) = find_series(scan)
    assert len(series.volume_hu()) == 3
    assert skipped.reason == "cut off: 50 of 60 bytes of pixels"


def test_an_old_file_without_preamble_is_read(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice(syntax=ImplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[132:])
    assert only(scan).slice_hu(0).tolist() == np.zeros((6, 5)).tolist()


def test_an_optional_tag_that_is_no_number_counts_as_missing(
    write_slice: WriteSlice, scan: Path
) -> None:
    path = write_slice()
    path.write_bytes(path.read_bytes().replace(b"-600", b"n/a "))
    series = only(scan)
    assert series.header_window is None
    assert series.slice_hu(0).shape == (6, 5)


def test_no_frames_in_a_file_with_one_slice_is_one_frame(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(NumberOfFrames=0)
    assert only(scan).volume_hu().shape == (1, 6, 5)


def test_uids_with_leading_zeros_are_accepted_without_a_warning(
    write_slice: WriteSlice, scan: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = write_slice(SOPInstanceUID="1.2.113.1")
    path.write_bytes(path.read_bytes().replace(b"1.2.113.1", b"1.2.0113."))
    only(scan).volume_hu()
    assert not recwarn.list


def test_every_frame_of_an_enhanced_file_is_a_slice(write_slice: WriteSlice, scan: Path) -> None:
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = [item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]
    shared.PixelMeasuresSequence = [item(PixelSpacing=[0.8, 0.7], SliceThickness=1)]
    shared.FrameVOILUTSequence = [item(WindowCenter=[40], WindowWidth=[400])]
    for z_mm, intercept in [(2, -1024), (1, -1000)]:
        frame = Dataset()
        frame.PlanePositionSequence = [item(ImagePositionPatient=[0, 0, z_mm])]
        transform = item(RescaleIntercept=intercept, RescaleSlope=1)
        frame.PixelValueTransformationSequence = [transform]
        frames.append(frame)
    outside = ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness")
    moved = ("RescaleIntercept", "RescaleSlope", "WindowCenter", "WindowWidth")
    write_slice(
        stored=np.array([[0, 1], [2, 3]], np.int16),
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
        SOPInstanceUID="1.7",
        NumberOfFrames=2,
        Rows=1,
        SharedFunctionalGroupsSequence=Sequence([shared]),
        PerFrameFunctionalGroupsSequence=Sequence(frames),
        **dict.fromkeys(outside + moved),
    )
    series = only(scan)
    assert series.sop_uids == ("1.7#1", "1.7#0")
    assert series.z_mm.tolist() == [1, 2]
    assert series.header_window == (40, 400)
    assert series.volume_hu()[:, 0].tolist() == [[-998, -997], [-1024, -1023]]


def item(**values: Any) -> Dataset:
    dataset = Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_the_number_of_frames_of_the_series_is_none_of_a_single_slice(
    write_slice: WriteSlice, scan: Path, packed: bool
) -> None:
    write_slice(0, NumberOfFrames=7)
    if packed:
        pixels = encapsulate([bytes(70)])
        write_slice(0, NumberOfFrames=7, syntax=RLELossless, PixelData=pixels)
    assert only(scan).warnings == ("1 slice: NumberOfFrames 7, but one frame of pixels",)


@pytest.mark.parametrize("kind", ["hu", "Hounsfield", "Hounsfield units", "us"])
def test_hounsfield_units_may_be_written_in_any_way(
    write_slice: WriteSlice, scan: Path, kind: str
) -> None:
    write_slice(RescaleType=kind)
    assert only(scan).warnings == ()


def test_pixels_of_unknown_representation_are_words(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice(stored=np.arange(30, dtype=np.int16).reshape(6, 5))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00UN"))
    assert path.read_bytes() != data
    assert only(scan).slice_hu(0)[0].tolist() == [-1024, -1023, -1022, -1021, -1020]


@pytest.mark.parametrize("mm", [7.5, 0.075])
def test_pixels_of_a_size_that_no_chest_ct_has_are_left_out(
    write_slice: WriteSlice, scan: Path, mm: float
) -> None:
    write_slice(PixelSpacing=[mm, mm])
    series, (skipped,) = find_series(scan)
    assert not series
    assert skipped.reason.startswith("PixelSpacing is out of range (0.1 to 5): ")
