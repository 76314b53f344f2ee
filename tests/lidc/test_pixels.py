"""Stored values of every kind become HU; padding becomes air."""

from __future__ import annotations

import gzip
import io
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
    JPEGLSLossless,
    RLELossless,
)

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.pixels import air_warnings, darkest_hu, read_hu
from lungdx_paddle.lidc.sources import SourceFile

WriteSlice = Callable[..., Path]


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def ramp(*values: int, dtype: Any = np.int16) -> np.ndarray:
    return np.array([values], dtype)


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


def test_monochrome1_changes_the_display_and_not_the_hu(
    write_slice: WriteSlice, scan: Path
) -> None:
    write_slice(stored=body(), PhotometricInterpretation="MONOCHROME1")
    assert np.array_equal(only(scan).slice_hu(0), body() - 1024)


@pytest.mark.parametrize(("dtype", "bits"), [(np.uint16, 12), (np.int16, 16), (np.uint16, 16)])
def test_values_that_were_inverted_for_monochrome1_are_restored(
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


def enhanced(count: int) -> dict[str, Any]:
    """The attributes of frames at 0, 1, 2 mm and so on."""
    frames = [Dataset() for _ in range(count)]
    for z_mm, frame in enumerate(frames):
        place = Dataset()
        place.ImagePositionPatient = [0, 0, z_mm]
        frame.PlanePositionSequence = Sequence([place])
    groups = {"PerFrameFunctionalGroupsSequence": Sequence(frames)}
    return {"ImagePositionPatient": None, "NumberOfFrames": count, **groups}


def test_reading_all_frames_reads_the_file_once(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not once for each frame, header or pixels, however many there are."""
    header = np.array([2, 64, 70] + [0] * 13, "<u4").tobytes()
    packed = header + bytes([3, 4, 4, 4, 4, 0]) + bytes([3, 0, 1, 2, 3, 0])
    path = write_slice(
        stored=np.zeros((2, 2), np.int16),
        syntax=RLELossless,
        **enhanced(40),
        PixelData=encapsulate([packed] * 40),
    )
    series = only(scan)
    read = 0

    class Counted(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            nonlocal read
            content = super().read(size)
            read += len(content)
            return content

    monkeypatch.setattr(SourceFile, "open", lambda file: Counted(file.path.read_bytes()))
    assert (series.volume_hu() == [[0, 1], [2, 3]]).all()
    assert 0 < read < 2 * path.stat().st_size


@pytest.mark.parametrize("kind", ["zip", "gz", "deflated"])
def test_a_packed_file_of_many_frames_is_unpacked_once(
    write_slice: WriteSlice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    source = write_slice(
        stored=np.arange(36, dtype=np.int16).reshape(18, 2),
        syntax=DeflatedExplicitVRLittleEndian if kind == "deflated" else ExplicitVRLittleEndian,
        Rows=2,
        **enhanced(9),
    )
    if kind == "zip":
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(source)
        source = tmp_path / "a.zip"
    elif kind == "gz":
        packed = gzip.compress(source.read_bytes())
        source = tmp_path / "a.dcm.gz"
        source.write_bytes(packed)
    series, open_it = only(source), SourceFile.open
    opened: list[SourceFile] = []

    def counted(file: SourceFile) -> Any:
        opened.append(file)
        return open_it(file)

    monkeypatch.setattr(SourceFile, "open", counted)
    assert (series.volume_hu().ravel() == np.arange(36) - 1024).all()
    assert len(opened) == 1


def test_packed_pixels_that_are_cut_off_cost_the_slice(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice(syntax=RLELossless, PixelData=encapsulate([bytes(70)]))
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xe0\x7f\x10\x00") + 20])
    series, (skipped,) = find_series(scan)
    assert not series and skipped.reason == "cut off: 8 of 16 bytes of pixels"


def test_air_shows_that_values_are_hu(write_slice: WriteSlice, scan: Path) -> None:
    write_slice(stored=ramp(24, 1064))
    (s,) = only(scan).slices
    assert darkest_hu(s, read_hu(s)) == -1000
    assert air_warnings("1.2.3", [-1000, -501], has_rescale=True) == ()
    assert air_warnings("1.2.3", [-501], has_rescale=False) == ()


def test_values_without_air_are_told_or_refused() -> None:
    assert air_warnings("1.2.3", [24, -900, 99], has_rescale=True) == (
        "a chest holds air below -500 HU, but none in 2 of 3 slices read "
        "(the darkest value is 24): values may be no HU",
    )
    with pytest.raises(LidcError, match=r"series 1.2.3: .* value is 24\), and no RescaleIntercept"):
        air_warnings("1.2.3", [24], has_rescale=False)


@pytest.mark.parametrize("padding", [-2000, -900, None])
def test_padding_is_no_air(write_slice: WriteSlice, scan: Path, padding: int | None) -> None:
    changes = {} if padding is None else {"padding": DataElement(0x00280120, "SS", padding)}
    stored = ramp(-2000 if padding is None else padding, 24, 1064)
    write_slice(stored=stored, RescaleIntercept=0, **changes)
    (s,) = only(scan).slices
    assert read_hu(s)[0, 0] == -1000
    assert darkest_hu(s, read_hu(s)) == 24


def test_a_missing_decoder_is_named_with_what_to_install(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slice(syntax=JPEGLosslessSV1, PixelData=encapsulate([b"\xff\xd8" + bytes(30)]))
    series = only(scan)

    def undecodable(*_: Any, **__: Any) -> np.ndarray:
        raise RuntimeError("Unable to decode because all plugins are missing dependencies")

    monkeypatch.setattr("pydicom.pixels.decoders.base.Decoder.as_array", undecodable)
    with pytest.raises(InstallError, match=r"decoder for JPEG Lossless.*pip install 'pylibjpeg"):
        series.slice_hu(0)


def test_jpeg_2000_is_unpacked_by_the_extra(write_slice: WriteSlice, scan: Path) -> None:
    """The extra ``compressed`` is part of the tests' install, so this is never skipped."""
    from openjpeg import encode

    stored = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
    packed = encode(stored, bits_stored=16)
    write_slice(stored=stored, syntax=JPEG2000Lossless, PixelData=encapsulate([packed]))
    assert np.array_equal(only(scan).slice_hu(0), stored.astype(np.int16) - 1024)


@pytest.mark.parametrize("size", [(40000, 40000), (64, 63), (0, 0)])
def test_a_picture_of_another_size_than_the_header_says_is_not_unpacked(
    write_slice: WriteSlice, scan: Path, size: tuple[int, int]
) -> None:
    """A codestream of 200 bytes may ask its decoder for gigabytes."""
    columns, rows = size
    sides = columns.to_bytes(4, "big") + rows.to_bytes(4, "big")
    siz = b"\xff\x4f\xff\x51\0\x29\0\0" + sides + bytes(8) + sides + bytes(8) + b"\0\1" + bytes(60)
    sof = b"\x10" + rows.to_bytes(2, "big") + columns.to_bytes(2, "big") + b"\1\1\x11\0"
    app = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff"
    codes = {
        JPEG2000Lossless: siz,
        JPEGLosslessSV1: app + b"\xc3\0\x0b" + sof + bytes(60),
        JPEGLSLossless: app + b"\xf7\0\x0b" + sof + bytes(60),
    }
    for number, (syntax, code) in enumerate(codes.items()):
        stored = np.zeros((64, 64), np.int16)
        write_slice(number, stored=stored, syntax=syntax, PixelData=encapsulate([code]))
    series = only(scan)
    for index in range(3):
        with pytest.raises(
            LidcError, match=f"64 x 64 pixels, found .* of {rows} x {columns} pixels"
        ):
            series.slice_hu(index)


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
