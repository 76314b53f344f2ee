"""One DICOM file -> its CT slices: where each lies in the patient, how its values become HU.

Only the attributes named here are parsed, and no pixels (:mod:`lungdx_paddle.lidc.pixels`).
Names and meanings are those of DICOM PS3.3 (C.7.6.2, C.7.6.3, C.8.2; C.7.6.16 for files of
many frames).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lungdx_paddle.lidc.sources import SourceFile

CT_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.2": "CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image Storage",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image Storage",
}
"""SOP classes that hold CT slices, DICOM (0008,0016)."""

TAGS: list[Any] = [
    *("SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID"),
    *("StudyInstanceUID", "SeriesInstanceUID", "InstanceNumber", "SliceThickness"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SamplesPerPixel"),
    *("PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "BitsAllocated"),
    *("BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit"),
    *("WindowCenter", "WindowWidth", "RescaleIntercept", "RescaleSlope"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
]
"""All that is parsed of a file."""

PREAMBLE_BYTES = 128
"""Length of what stands before ``DICM`` (PS3.10, 7.1)."""

PIXEL_DATA = (0x7FE0, 0x0010)


class NotASlice(Exception):
    """The file holds no CT slice; the message is the reason."""


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
    patient_id: str
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
    intercept: float
    rows: int
    columns: int
    bits_stored: int
    """The lower bits of a stored value, which are measurement; 12 of 16 in most files."""
    monochrome1: bool
    """The smallest value is shown brightest, DICOM (0028,0004)."""
    padding: tuple[int, int] | None
    """Stored values from, to (inclusive) that are no measurement, DICOM (0028,0120)."""
    transfer_syntax: UID

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
        with file.open() as stream, disable_value_validation():
            header = _parse(stream)
            frames = _check_kind(header)
            syntax = _transfer_syntax(header)
            _check_pixels(header, stream, syntax, file.size, frames)
            return [_slice(file, header, frame, syntax) for frame in range(frames)]
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


def _check_kind(header: Dataset) -> int:
    """The number of frames of what must be a CT image."""
    kind, modality = str(header.get("SOPClassUID", "")), str(header.get("Modality") or "")
    # The class decides: Modality is missing in some files.  It counts where there is no class.
    if kind not in CT_CLASSES and (kind or modality != "CT"):
        name = UID(kind).name if kind else f"modality {modality or 'unknown'}"
        raise NotASlice(f"no CT slice but {name}")
    if "LOCALIZER" in (str(part).upper() for part in _values(header, "ImageType")):
        raise NotASlice("a localizer")
    if int(_first(header, "SamplesPerPixel", 1)) != 1:
        raise NotASlice("a colour image")
    frames = int(_first(header, "NumberOfFrames", 1)) or 1  # some exporters write 0
    places = len(header.get("PerFrameFunctionalGroupsSequence") or [None])
    if frames != places:
        raise NotASlice(f"{frames} frames with {places} positions")
    return frames


def _transfer_syntax(header: Dataset) -> UID:
    """As the file says, or as pydicom found an old file to be, which does not say it."""
    is_implicit, _ = header.original_encoding
    usual = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return UID(header.file_meta.get("TransferSyntaxUID") or usual)


def _check_pixels(header: Dataset, stream: BinaryIO, syntax: UID, size: int, frames: int) -> None:
    """See that the file, whose stream stands before the pixels, holds all of them."""
    bits = int(_first(header, "BitsAllocated"))
    if bits not in (8, 16):
        raise NotASlice(f"{bits} bits a pixel, where 8 and 16 are known")
    wanted = int(_first(header, "Rows")) * int(_first(header, "Columns")) * bits // 8 * frames
    if wanted <= 0:
        raise NotASlice("no pixels: rows or columns are 0")
    if syntax == DeflatedExplicitVRLittleEndian:
        return
    start, head = stream.tell(), stream.read(12)
    order = "<" if syntax.is_little_endian else ">"
    if len(head) < 12 or struct.unpack(order + "HH", head[:4]) != PIXEL_DATA:
        raise NotASlice("no pixels: cut off, or no image")
    if not syntax.is_encapsulated:
        value = 12 if head[4:6] in (b"OW", b"OB") else 8
        (length,) = struct.unpack(order + "I", head[value - 4 : value])
        found = min(length, size - start - value)
        if found < wanted:
            raise NotASlice(f"cut off: {found} of {wanted} bytes of pixels")


def _slice(file: SourceFile, header: Dataset, frame: int, syntax: UID) -> Slice:
    series_uid = str(_first(header, "SeriesInstanceUID"))
    sop_uid = str(_first(header, "SOPInstanceUID"))
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    groups = [*own[frame : frame + 1], *(header.get("SharedFunctionalGroupsSequence") or [])[:1]]

    def numbers(name: str, group: str, count: int = 0) -> tuple[float, ...]:
        """Of the file, else of the frame, else shared by all frames; none if one is no number."""
        nested = [item for g in groups for item in (g.get(group) or [])]
        values = next(filter(None, (_values(part, name) for part in (header, *nested))), [])
        try:
            found = tuple(float(value) for value in values)
        except ValueError:
            found = ()
        found = found if all(map(math.isfinite, found)) else ()
        if count and len(found) != count:
            raise NotASlice(f"no {name} ({count} numbers)")
        return found

    position_mm = numbers("ImagePositionPatient", "PlanePositionSequence", 3)
    orientation = numbers("ImageOrientationPatient", "PlaneOrientationSequence", 6)
    spacing_mm = numbers("PixelSpacing", "PixelMeasuresSequence", 2)
    if min(spacing_mm) <= 0 or not np.cross(orientation[:3], orientation[3:]).any():
        raise NotASlice("a pixel spacing or orientation of 0")
    center = numbers("WindowCenter", "FrameVOILUTSequence")
    width = numbers("WindowWidth", "FrameVOILUTSequence")
    rescale = "PixelValueTransformationSequence"
    bits = int(_first(header, "BitsAllocated"))
    bits_stored = int(_first(header, "BitsStored", bits))
    return Slice(
        file=file,
        frame=frame,
        sop_uid=f"{sop_uid}#{frame}" if own else sop_uid,
        series_uid=series_uid,
        study_uid=str(header.get("StudyInstanceUID") or ""),
        patient_id=str(header.get("PatientID") or series_uid),
        instance=int((numbers("InstanceNumber", "") or (0,))[0]),
        position_mm=position_mm,
        orientation=orientation,
        pixel_spacing_mm=spacing_mm,
        thickness_mm=(numbers("SliceThickness", "PixelMeasuresSequence") or (0.0,))[0],
        window=(center[0], width[0]) if center and width and width[0] > 0 else None,
        slope=(numbers("RescaleSlope", rescale) or (1.0,))[0],
        intercept=(numbers("RescaleIntercept", rescale) or (0.0,))[0],
        rows=int(_first(header, "Rows")),
        columns=int(_first(header, "Columns")),
        bits_stored=bits_stored if 0 < bits_stored <= bits else bits,
        monochrome1=header.get("PhotometricInterpretation") == "MONOCHROME1",
        padding=_padding(header, bits),
        transfer_syntax=syntax,
    )


def _padding(header: Dataset, bits: int) -> tuple[int, int] | None:
    """The range of padding, in the spelling of the stored values.

    The value is written as SS or as US, whatever the pixels are: GE's 63536 in signed
    pixels is -2000.
    """
    value, limit = (header.get("PixelPadding" + name) for name in ("Value", "RangeLimit"))
    if not isinstance(value, int):
        return None
    signed = bool(_first(header, "PixelRepresentation", 0))
    lowest = -(1 << (bits - 1)) if signed else 0
    ends = [(v - lowest) % (1 << bits) + lowest for v in (value, limit) if isinstance(v, int)]
    return min(ends), max(ends)


def _values(header: Dataset, name: str) -> Sequence[Any]:
    """What an attribute holds: one value, several, or none if it is missing or no value of it."""
    try:
        value = header.get(name)
    except (ValueError, TypeError, OverflowError):  # such as a WindowCenter of "n/a"
        return []
    values = [value] if isinstance(value, (str, int, float)) else list(value or [])
    return [v for v in values if v is not None and v != ""]


def _first(header: Dataset, name: str, default: Any = None) -> Any:
    """The first value of an attribute, or the default.

    Raises:
        NotASlice: there is neither.
    """
    value = next(iter(_values(header, name)), default)
    if value is None:
        raise NotASlice(f"no {name}")
    return value
