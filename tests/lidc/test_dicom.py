"""Any folder or zip of CT files becomes series of HU slices; what is no slice is named."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    RLELossless,
)

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.lidc import Series, find_series

WriteSlice = Callable[..., Path]


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """The folder that ``write_slice`` writes into."""
    return tmp_path / "scan"


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def ramp(*values: int, dtype: Any = np.int16) -> np.ndarray:
    return np.array([values], dtype)


def test_slices_run_from_foot_to_head_whatever_their_names_and_numbers(
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


def test_a_series_that_was_scanned_upside_down_runs_from_foot_to_head(
    write_slice: WriteSlice, scan: Path
) -> None:
    for z_mm in (0, 2.5, 5):
        write_slice(z_mm, ImageOrientationPatient=[1, 0, 0, 0, -1, 0])
    assert only(scan).z_mm.tolist() == [0, 2.5, 5]


def test_a_zip_archive_is_read_in_place(write_slice: WriteSlice, tmp_path: Path) -> None:
    stored = np.arange(30, dtype=np.int16).reshape(6, 5)
    path = write_slice(stored=stored)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "../../climbs/out.dcm")
    series = only(tmp_path / "scan.zip")
    assert np.array_equal(series.slice_hu(0), stored - 1024)
    assert not (tmp_path.parent / "climbs").exists()


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


def test_every_slice_has_its_own_rescale(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(0, stored=ramp(0, 100))  # GE: -1024
    write_slice(1, stored=ramp(0, 100, dtype=np.uint16), RescaleIntercept=-1000)  # Philips
    write_slice(2, stored=ramp(0, 100), RescaleIntercept=0)  # Toshiba
    write_slice(3, stored=ramp(0, 100), RescaleIntercept=None, RescaleSlope=None)
    write_slice(4, stored=ramp(0, 101), RescaleSlope=0.5, RescaleIntercept=-10.5)
    volume_hu = only(scan).volume_hu()
    assert volume_hu.dtype == np.int16
    assert volume_hu[:, 0].tolist() == [[-1024, -924], [-1000, -900], [0, 100], [0, 100], [-10, 40]]


def test_hu_beyond_16_bits_are_clipped_not_wrapped(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(stored=ramp(65535, 40000, dtype=np.uint16), RescaleIntercept=0)
    assert only(scan).slice_hu(0).tolist() == [[32767, 32767]]


PADDINGS = {
    "signed": [DataElement(0x00280120, "SS", -2000)],
    "unsigned": [DataElement(0x00280120, "US", 63536)],
    "range": [DataElement(0x00280120, "SS", -1990), DataElement(0x00280121, "SS", -2010)],
    "unsaid": [],  # nothing measured is that low
}


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_becomes_air(write_slice: WriteSlice, scan: Path, padding: str) -> None:
    elements = {str(element.tag): element for element in PADDINGS[padding]}
    write_slice(stored=ramp(-2000, 0, 1024), **elements)
    assert only(scan).slice_hu(0).tolist() == [[-1000, -1024, 0]]


def test_padding_of_unsigned_pixels_may_be_any_value(write_slice: WriteSlice, scan: Path) -> None:
    padding = DataElement(0x00280120, "SS", -2000)
    write_slice(stored=ramp(63536, 0, 1024, dtype=np.uint16), padding=padding)
    assert only(scan).slice_hu(0).tolist() == [[-1000, -1024, 0]]


def test_bits_beyond_the_stored_ones_are_no_measurement(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(0, stored=ramp(0xF000 | 1024, 24, dtype=np.uint16), BitsStored=12, HighBit=11)
    write_slice(1, stored=ramp(0x0FFF, 24), BitsStored=12, HighBit=11, RescaleIntercept=0)
    assert only(scan).volume_hu()[:, 0].tolist() == [[0, -1000], [-1, 24]]


def body(dtype: Any = np.int16) -> np.ndarray:
    """Stored values of a body of 1064 (40 HU) in air of 24 (-1000 HU)."""
    stored = np.full((64, 64), 24, dtype)
    stored[16:48, 8:56] = 1064
    return stored


def test_monochrome1_tells_how_to_show_and_leaves_hu_alone(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(stored=body(), PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(only(scan).slice_hu(0), body() - 1024)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 16), (np.uint16, 16)])
def test_values_that_were_turned_round_for_monochrome1_are_turned_back(
    write_slice: WriteSlice, scan: Path, dtype: Any, bits: int
) -> None:
    ends = 2**bits - 1 if dtype is np.uint16 else -1
    write_slice(
        stored=(ends - body(np.int64)).astype(dtype),
        PhotometricInterpretation="MONOCHROME1",
        BitsStored=bits,
        HighBit=bits - 1,
    )
    assert np.array_equal(only(scan).slice_hu(0), body() - 1024)


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
        ({"ImageOrientationPatient": [1, 0, 0]}, "no ImageOrientationPatient"),
        ({"PixelSpacing": None}, "no PixelSpacing"),
        ({"Rows": None}, "no Rows"),
        ({"Rows": 0}, "no pixels"),
        ({"PixelSpacing": [0, 0]}, "spacing or orientation of 0"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "spacing or orientation of 0"),
        ({"NumberOfFrames": 2}, "2 frames with 1 positions"),
        ({"BitsAllocated": 32}, "32 bits a pixel"),
        ({"SeriesInstanceUID": None}, "no SeriesInstanceUID"),
        ({"Rows": 7}, "cut off: 60 of 70 bytes"),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "orientation"),
        ({"SOPInstanceUID": "1.2.3.1000000"}, "the same SOP instance UID"),
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


def test_a_folder_without_ct_has_no_series(tmp_path: Path) -> None:
    assert find_series(tmp_path) == ([], [])


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="nowhere: expected a folder"):
        find_series(tmp_path / "nowhere")


def test_links_in_a_ring_end(write_slice: WriteSlice, scan: Path) -> None:
    write_slice()
    (scan / "ring").symlink_to(scan, target_is_directory=True)
    assert only(scan).shape_zyx == (1, 6, 5)


# What is unusual is said, with numbers.


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


def test_two_slices_at_one_place_are_both_kept(write_slice: WriteSlice, scan: Path) -> None:
    for number, z_mm in enumerate((0, 2.5, 2.5, 5)):
        uid = f"1.9.{number}"
        write_slice(z_mm, name=uid, SOPInstanceUID=uid, InstanceNumber=9 - number)
    series = only(scan)
    assert series.sop_uids == ("1.9.0", "1.9.2", "1.9.1", "1.9.3")
    assert series.spacing_zyx_mm[0] == 2.5
    assert series.warnings == ("1 slices lie at the place of another one",)


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


def test_uids_that_scanners_write_with_leading_zeros_are_taken_without_a_word(
    write_slice: WriteSlice, scan: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = write_slice(SOPInstanceUID="1.2.113.1")
    path.write_bytes(path.read_bytes().replace(b"1.2.113.1", b"1.2.0113."))
    only(scan).volume_hu()
    assert not recwarn.list


# How the pixels are packed.


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda syntax: syntax.name,
)
def test_every_plain_transfer_syntax_gives_the_same(
    write_slice: WriteSlice, scan: Path, syntax: str
) -> None:
    stored = np.arange(-15, 15, dtype=np.int16).reshape(6, 5)
    write_slice(stored=stored, syntax=syntax)
    assert np.array_equal(only(scan).slice_hu(0), stored - 1024)


def test_run_length_packed_pixels_need_no_further_package(
    write_slice: WriteSlice, scan: Path
) -> None:
    # PS3.5, annex G: two byte planes of 4 pixels, high bytes first, each one literal run.
    header = np.array([2, 64, 70] + [0] * 13, "<u4").tobytes()
    planes = bytes([3, 4, 4, 4, 4, 0]) + bytes([3, 0, 1, 2, 3, 0])
    write_slice(
        stored=np.zeros((2, 2), np.int16),
        syntax=RLELossless,
        PixelData=encapsulate([header + planes]),
    )
    assert only(scan).slice_hu(0).tolist() == [[0, 1], [2, 3]]


def test_a_missing_decoder_is_named_with_what_to_install(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slice(syntax=JPEGLosslessSV1, PixelData=encapsulate([b"\xff\xd8" + bytes(30)]))
    series = only(scan)

    def undecodable(*_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("Unable to decode because all plugins are missing dependencies")

    monkeypatch.setattr("lungdx_paddle.lidc.pixels.pixel_array", undecodable)
    with pytest.raises(InstallError, match=r"decoder for JPEG Lossless.*pip install 'pylibjpeg"):
        series.slice_hu(0)


def test_jpeg_2000_is_unpacked_by_the_extra(write_slice: WriteSlice, scan: Path) -> None:
    """The extra ``compressed`` is part of the tests' install, so this is never skipped."""
    from openjpeg import encode

    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    packed = encode(stored, bits_stored=16)
    write_slice(stored=stored, syntax=JPEG2000Lossless, PixelData=encapsulate([packed]))
    assert np.array_equal(only(scan).slice_hu(0), stored.astype(np.int16) - 1024)


def test_broken_packed_pixels_are_an_error(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(syntax=RLELossless, PixelData=encapsulate([bytes(70)]))
    with pytest.raises(LidcError, match="expected 6 x 5 pixels"):
        only(scan).slice_hu(0)


def test_a_file_that_went_away_is_an_error(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice()
    series = only(scan)
    path.unlink()
    with pytest.raises(LidcError, match="No such file"):
        series.slice_hu(0)


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
