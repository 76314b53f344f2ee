"""One DICOM file -> what is needed to place its slices and to read their pixels later.

Only the tags named here are parsed, and no pixels: a series is read in the time that its
disk needs.  Attribute names and tags are those of DICOM PS3.3 (C.7.6.2, C.7.6.3, C.8.2).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from lungdx_paddle.lidc.attributes import (
    TAGS,
    FrameValues,
    NotASlice,
    first,
    required,
    values_of,
)
from lungdx_paddle.lidc.sources import SourceFile

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
"""SOP classes that hold CT slices, DICOM (0008,0016)."""

PIXEL_DATA = (0x7FE0, 0x0010)
UNDEFINED_LENGTH = 0xFFFFFFFF
PREAMBLE_BYTES = 128
"""Length of what stands before ``DICM`` (PS3.10, 7.1)."""


@dataclass(frozen=True)
class PixelFormat:
    """How the stored values of a slice lie in its file."""

    rows: int
    columns: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    monochrome1: bool
    """The smallest value is shown brightest, DICOM (0028,0004)."""
    padding: tuple[int, int] | None
    """Stored values from, to (inclusive) that are no measurement, DICOM (0028,0120)."""
    big_endian: bool
    transfer_syntax: str
    offset: int | None
    """Where the first frame's bytes begin in the file; None: compressed or deflated."""

    @property
    def frame_bytes(self) -> int:
        """Length of one frame that is not compressed."""
        return self.rows * self.columns * self.bits_allocated // 8


@dataclass(frozen=True)
class Slice:
    """One slice of one file: where it lies in the patient and how its values become HU."""

    file: SourceFile
    frame: int
    """From 0; more than one in enhanced multi-frame files only."""
    sop_uid: str
    series_uid: str
    study_uid: str
    patient_id: str
    instance: int
    position_mm: tuple[float, ...]
    """x, y, z of the first pixel's centre, DICOM (0020,0032)."""
    orientation: tuple[float, ...]
    """Directions of a row and of a column, DICOM (0020,0037)."""
    pixel_spacing_mm: tuple[float, ...]
    """Distance of the rows, of the columns, DICOM (0028,0030)."""
    thickness_mm: float
    """0 if unknown."""
    window: tuple[float, float] | None
    """(centre, width), the first where there are several."""
    slope: float
    intercept: float
    pixels: PixelFormat


def read_header(file: SourceFile) -> list[Slice]:
    """Read the slices that a file describes: one, or one a frame in an enhanced file.

    Raises:
        NotASlice: it is no DICOM file, is broken or cut off, or holds no CT slice.
    """
    try:
        with file.open() as stream:
            header = _parse(stream)
            _check_kind(header)
            pixels = _pixel_format(header, stream, file.size)
        return [_slice(file, header, frame, pixels) for frame in range(_frames(header))]
    except NotASlice:
        raise
    except OSError as error:
        raise NotASlice(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # pydicom raises nearly anything on a damaged file
        raise NotASlice(f"broken DICOM header: {type(error).__name__}, {error}") from error


def _parse(stream: BinaryIO) -> Dataset:
    start = stream.read(PREAMBLE_BYTES + 4)
    stream.seek(0)
    has_preamble = start[PREAMBLE_BYTES:] == b"DICM"
    # Old files begin with the data set itself: group 0002 or 0008, little endian.
    if not has_preamble and start[:2] not in (b"\x02\x00", b"\x08\x00"):
        raise NotASlice("no DICOM file" if start else "an empty file")
    return pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=TAGS, force=True)


def _check_kind(header: Dataset) -> None:
    kind = str(header.get("SOPClassUID", ""))
    modality = str(header.get("Modality") or "")
    # The class decides: Modality is missing in some files.  It speaks where there is no class.
    if kind not in CT_CLASSES and (kind or modality != "CT"):
        name = UID(kind).name if kind else f"modality {modality or 'unknown'}"
        raise NotASlice(f"no CT slice but {name}")
    if "LOCALIZER" in (str(part).upper() for part in values_of(header.get("ImageType"))):
        raise NotASlice("a localizer")
    if int(first(header, "SamplesPerPixel", 1)) != 1:
        raise NotASlice("a colour image")


def _frames(header: Dataset) -> int:
    frames = int(first(header, "NumberOfFrames", 1))
    places = len(header.get("PerFrameFunctionalGroupsSequence") or [None])
    if frames != places:
        raise NotASlice(f"{frames} frames with {places} positions")
    return frames


def _pixel_format(header: Dataset, stream: BinaryIO, size: int) -> PixelFormat:
    syntax = str(getattr(header.file_meta, "TransferSyntaxUID", ""))
    offset, length, big_endian = _find_pixels(stream, syntax)
    bits = int(required(header, "BitsAllocated"))
    if bits not in (8, 16):
        raise NotASlice(f"{bits} bits a pixel, where 8 and 16 are known")
    bits_stored = int(first(header, "BitsStored", bits))
    signed = bool(first(header, "PixelRepresentation", 0))
    pixels = PixelFormat(
        rows=int(required(header, "Rows")),
        columns=int(required(header, "Columns")),
        bits_allocated=bits,
        bits_stored=bits_stored if 0 < bits_stored <= bits else bits,
        signed=signed,
        monochrome1=header.get("PhotometricInterpretation") == "MONOCHROME1",
        padding=_padding(header, bits, signed),
        big_endian=big_endian,
        transfer_syntax=syntax,
        offset=offset,
    )
    wanted = pixels.frame_bytes * _frames(header)
    if wanted <= 0:
        raise NotASlice("no pixels: rows or columns are 0")
    if offset is not None and min(length, size - offset) < wanted:
        found = min(length, size - offset)
        raise NotASlice(f"cut off: {found} of {wanted} bytes of pixels")
    return pixels


def _find_pixels(stream: BinaryIO, syntax: str) -> tuple[int | None, int, bool]:
    """(offset, length in bytes, big endian) of the pixels; offset None if they are packed.

    pydicom leaves the stream at the tag of the pixel data, whose first bytes tell.
    """
    if syntax == DeflatedExplicitVRLittleEndian:
        return None, 0, False
    start = stream.tell()
    head = stream.read(12)
    for order in "<>":
        if head[:4] == struct.pack(order + "HH", *PIXEL_DATA) and len(head) == 12:
            explicit = head[4:6] in (b"OW", b"OB")
            (length,) = struct.unpack_from(order + "I", head, 8 if explicit else 4)
            if length == UNDEFINED_LENGTH:
                return None, 0, False
            return start + (12 if explicit else 8), length, order == ">"
    raise NotASlice("no pixels: cut off, or no image")


def _padding(header: Dataset, bits: int, signed: bool) -> tuple[int, int] | None:
    """The range of padding, in the spelling of the stored values.

    The value is written as SS or as US, whatever the pixels are: GE's 63536 in signed
    pixels is -2000.
    """
    value = header.get("PixelPaddingValue")
    if not isinstance(value, int):
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = [_wrap(v, bits, signed) for v in (value, limit if isinstance(limit, int) else value)]
    return min(ends), max(ends)


def _wrap(value: int, bits: int, signed: bool) -> int:
    value %= 1 << bits
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _slice(file: SourceFile, header: Dataset, frame: int, pixels: PixelFormat) -> Slice:
    get = FrameValues(header, frame)
    series_uid = str(required(header, "SeriesInstanceUID"))
    sop_uid = str(required(header, "SOPInstanceUID"))
    orientation = get.required("ImageOrientationPatient", "PlaneOrientationSequence", 6)
    spacing_mm = get.required("PixelSpacing", "PixelMeasuresSequence", 2)
    if min(spacing_mm) <= 0 or not np.cross(orientation[:3], orientation[3:]).any():
        raise NotASlice("a pixel spacing or orientation of 0")
    is_multi_frame = "PerFrameFunctionalGroupsSequence" in header
    center = get.numbers("WindowCenter", "FrameVOILUTSequence")
    width = get.numbers("WindowWidth", "FrameVOILUTSequence")
    thickness = get.numbers("SliceThickness", "PixelMeasuresSequence")
    rescale = "PixelValueTransformationSequence"
    return Slice(
        file=file,
        frame=frame,
        sop_uid=f"{sop_uid}#{frame}" if is_multi_frame else sop_uid,
        series_uid=series_uid,
        study_uid=str(header.get("StudyInstanceUID") or ""),
        patient_id=str(header.get("PatientID") or series_uid),
        instance=int(first(header, "InstanceNumber", 0)),
        position_mm=get.required("ImagePositionPatient", "PlanePositionSequence", 3),
        orientation=orientation,
        pixel_spacing_mm=spacing_mm,
        thickness_mm=thickness[0] if thickness else 0.0,
        window=(center[0], width[0]) if center and width and width[0] > 0 else None,
        slope=(get.numbers("RescaleSlope", rescale) or (1.0,))[0],
        intercept=(get.numbers("RescaleIntercept", rescale) or (0.0,))[0],
        pixels=pixels,
    )
