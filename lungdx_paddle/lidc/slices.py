"""One DICOM file -> its CT slices: where each lies in the patient, how its values become HU.

What is read, and what becomes of it where it is missing or broken, is the table of
:mod:`lungdx_paddle.lidc.attributes`; pixels are read by :mod:`lungdx_paddle.lidc.pixels`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from pydicom.encaps import parse_basic_offsets, parse_fragments
from pydicom.uid import UID

from lungdx_paddle.lidc.attributes import (
    FLATTEST_SLOPE,
    MOST_FRAMES,
    Attributes,
    NotASlice,
)
from lungdx_paddle.lidc.header import parse_header, quiet
from lungdx_paddle.lidc.sources import SourceFile

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
"""SOP classes that hold CT slices, DICOM (0008,0016)."""

HU_TYPES = ("", "HU", "US", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS")
"""Values of RescaleType that raise no doubt, in capitals; US is unspecified."""

PIXEL_DATA = (0x7FE0, 0x0010)

SMALLEST_FRAME_BYTES = 16
"""Of a compressed frame with the head of its fragment: no coder writes less."""

UNIT_TOLERANCE = 0.01
"""Direction cosines have few decimals: they are of length 1, and at right angles, within this."""


@dataclass(frozen=True)
class StoredPixels:
    """Where the pixels of a file are, and how they are packed."""

    offset: int
    """Of the value of DICOM (7FE0,0010); in a deflated file as inflated."""
    vr: str
    """OB or OW."""
    frames: int
    bits_allocated: int
    """8 or 16."""
    signed: bool


@dataclass(frozen=True)
class Slice:
    """One slice of one file: where it lies in the patient and how its values become HU."""

    file: SourceFile
    frame: int
    """From 0; more than one in enhanced multi-frame files only."""
    sop_uid: str
    """DICOM (0008,0018); with ``#frame`` behind it in multi-frame files."""
    series_uid: str
    study_uid: str
    frame_of_reference: str
    """DICOM (0020,0052): positions of one are in one coordinate system; empty if unknown."""
    patient_id: str
    """DICOM (0010,0020); empty if unknown."""
    instance: int
    """DICOM (0020,0013); 0 if unknown."""
    position_mm: tuple[float, ...]
    """x, y, z of the first pixel's centre, DICOM (0020,0032)."""
    orientation: tuple[float, ...]
    """Directions of a row and of a column, DICOM (0020,0037)."""
    pixel_spacing_mm: tuple[float, ...]
    """Distance of the rows, of the columns, DICOM (0028,0030)."""
    thickness_mm: float
    """DICOM (0018,0050); 0 if unknown."""
    window: tuple[float, float] | None
    """(centre, width), the first where there are several."""
    slope: float
    """DICOM (0028,1053), never 0; 1 if missing."""
    intercept: float
    """DICOM (0028,1052); 0 if missing."""
    has_rescale: bool
    """Whether the header has both of them."""
    rows: int
    columns: int
    bits_stored: int
    """The lower bits of a stored value, which are measurement; 12 of 16 in most files."""
    monochrome1: bool
    """The smallest value is shown brightest, DICOM (0028,0004)."""
    padding: tuple[int, int] | None
    """Stored values from, to (inclusive) that are no measurement, DICOM (0028,0120)."""
    transfer_syntax: UID
    pixels: StoredPixels
    notes: tuple[tuple[str, str], ...] = ()
    """Attribute, and what of it was ignored or changed, and why."""

    def __repr__(self) -> str:
        place = ", ".join(f"{mm:g}" for mm in self.position_mm)
        size = f"{self.rows} x {self.columns} pixels at ({place}) mm"
        return f"Slice({self.patient_id}, UID ...{self.sop_uid[-6:]}: {size}, {self.file})"


def read_slices(file: SourceFile) -> list[Slice]:
    """Read the header of a file: one slice, or one a frame in an enhanced file.

    Raises:
        NotASlice: it is no DICOM file, is broken or cut off, or holds no CT slice.
    """
    try:
        with file.open() as stream, quiet():
            header, syntax, rest = parse_header(stream)
            attributes = Attributes(header)
            frames = _check_kind(attributes)
            end = file.size_of(rest)
            pixels = _find_pixels(attributes, rest, syntax, end, frames)
            frames = pixels.frames
            return [_slice(file, attributes, frame, syntax, pixels) for frame in range(frames)]
    except NotASlice:
        raise
    except OSError as error:
        raise NotASlice(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pydicom raises nearly anything on a damaged file
        raise NotASlice(f"broken DICOM header: {type(error).__name__}, {error}") from error


def _check_kind(attributes: Attributes) -> int:
    """The number of frames of what must be a CT image."""
    kind, modality = attributes.text("SOPClassUID"), attributes.text("Modality")
    # The class decides: Modality is missing in some files.  It counts where there is no class.
    if kind not in CT_CLASSES and (kind or modality != "CT"):
        name = UID(kind).name if kind else f"modality {modality or 'unknown'}"
        raise NotASlice(f"no CT slice but {name}")
    if "LOCALIZER" in attributes.text("ImageType").upper():
        raise NotASlice("a localizer")
    colours = attributes.text("PhotometricInterpretation")
    if attributes.number("SamplesPerPixel", 1) != 1 or colours == "PALETTE COLOR":
        raise NotASlice("a colour image")
    frames = int(attributes.number("NumberOfFrames", 1)) or 1  # some exporters write 0
    if frames > MOST_FRAMES:
        raise NotASlice(f"{frames} frames, where up to {MOST_FRAMES} are known")
    return frames


def _find_pixels(
    attributes: Attributes, stream: BinaryIO, syntax: UID, end: int, frames: int
) -> StoredPixels:
    """See that the file, whose stream stands before the pixels, holds all of them."""
    bits = int(attributes.number("BitsAllocated"))
    if bits not in (8, 16):
        raise NotASlice(f"{bits} bits a pixel, where 8 and 16 are known")
    rows, columns = int(attributes.number("Rows")), int(attributes.number("Columns"))
    one = rows * columns * bits // 8
    start, head = stream.tell(), stream.read(12)
    order = "<" if syntax.is_little_endian else ">"
    if len(head) < 12 or struct.unpack(order + "HH", head[:4]) != PIXEL_DATA:
        raise NotASlice("no pixels: cut off, or no image")
    # None: implicit, which is OW.  Some converters write UN.
    vr = {b"OB": "OB", b"OW": "OW", b"UN": "OW"}.get(head[4:6])
    offset = start + (12 if vr else 8)
    found = end - offset
    if syntax.is_encapsulated:
        one = SMALLEST_FRAME_BYTES
    else:
        found = min(found, *struct.unpack(order + "I", head[8:] if vr else head[4:8]))
    places = len(attributes.frames)
    if frames > 1 and not places and _is_one_frame(stream, offset, syntax, found - one):
        attributes.notes["NumberOfFrames"] = f"NumberOfFrames {frames}, but one frame of pixels"
        frames = 1
    if frames != (places or 1):
        raise NotASlice(f"{frames} frames with {places or 1} positions")
    wanted = one * frames
    if found < wanted:
        raise NotASlice(f"cut off: {found} of {wanted} bytes of pixels")
    signed = attributes.number("PixelRepresentation") == 1
    return StoredPixels(offset, vr or "OW", frames, bits, signed)


def _is_one_frame(stream: BinaryIO, offset: int, syntax: UID, more: int) -> bool:
    """Whether the pixels are of one frame; ``more`` bytes than that are no part of it."""
    if not syntax.is_encapsulated:
        return more in (0, 1)  # odd lengths are padded
    stream.seek(offset)
    parse_basic_offsets(stream)
    return parse_fragments(stream)[0] == 1


def _slice(
    file: SourceFile, attributes: Attributes, frame: int, syntax: UID, pixels: StoredPixels
) -> Slice:
    its = attributes.of_frame(frame)
    sop_uid = its.text("SOPInstanceUID")
    orientation = its.numbers("ImageOrientationPatient")
    _check_directions(orientation)
    center, width = its.numbers("WindowCenter"), its.numbers("WindowWidth")
    slope, intercept = its.numbers("RescaleSlope"), its.numbers("RescaleIntercept")
    if slope and abs(slope[0]) < FLATTEST_SLOPE:
        raise NotASlice(f"RescaleSlope is 0 or next to it: {slope[0]:g}")
    if (kind := its.text("RescaleType")).upper() not in HU_TYPES:
        its.notes["RescaleType"] = f"RescaleType {kind!r}: the values may be no HU"
    bits = pixels.bits_allocated
    return Slice(
        file=file,
        frame=frame,
        sop_uid=f"{sop_uid}#{frame}" if its.frames else sop_uid,
        series_uid=its.text("SeriesInstanceUID"),
        study_uid=its.text("StudyInstanceUID"),
        frame_of_reference=its.text("FrameOfReferenceUID"),
        patient_id=its.text("PatientID"),
        instance=int(its.number("InstanceNumber")),
        position_mm=its.numbers("ImagePositionPatient"),
        orientation=orientation,
        pixel_spacing_mm=its.numbers("PixelSpacing"),
        thickness_mm=its.number("SliceThickness"),
        window=(center[0], width[0]) if center and width else None,
        slope=slope[0] if slope else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        has_rescale=bool(slope and intercept),
        rows=int(its.number("Rows")),
        columns=int(its.number("Columns")),
        bits_stored=_bits_stored(its, bits),
        monochrome1=its.text("PhotometricInterpretation") == "MONOCHROME1",
        padding=_padding(its, bits, pixels.signed),
        transfer_syntax=syntax,
        pixels=pixels,
        notes=tuple(its.notes.items()),
    )


def _check_directions(orientation: tuple[float, ...]) -> None:
    along_row, along_column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = along_row @ along_row, along_column @ along_column
    if max(abs(n - 1) for n in lengths) > 2 * UNIT_TOLERANCE or (
        abs(along_row @ along_column) > UNIT_TOLERANCE
    ):
        shown = "\\".join(f"{number:g}" for number in orientation)
        raise NotASlice(f"ImageOrientationPatient is no two directions at right angles: {shown}")


def _bits_stored(its: Attributes, bits: int) -> int:
    stored, highest = int(its.number("BitsStored", bits)), its.numbers("HighBit")
    if stored > bits:
        its.notes["BitsStored"] = f"BitsStored {stored} of {bits} bits, ignored"
        return bits
    if highest and highest[0] != stored - 1:
        its.notes["HighBit"] = f"HighBit {highest[0]:g} with {stored} bits stored, ignored"
    return stored


def _padding(its: Attributes, bits: int, signed: bool) -> tuple[int, int] | None:
    """The range of padding, in the spelling of the stored values.

    The value is written as SS or as US, whatever the pixels are: GE's 63536 in signed
    pixels is -2000.
    """
    value = its.numbers("PixelPaddingValue")
    if not value:
        return None
    lowest = -(1 << (bits - 1)) if signed else 0
    values = (int(v) for v in (*value, *its.numbers("PixelPaddingRangeLimit")))
    ends = [(v - lowest) % (1 << bits) + lowest for v in values]
    return min(ends), max(ends)
