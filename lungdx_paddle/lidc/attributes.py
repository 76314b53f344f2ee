"""The DICOM attributes that are read, what each may be, and what happens where it is not.

Names and meanings are those of DICOM PS3.3 (C.7.6.2, C.7.6.3, C.8.2; C.7.6.16 for files of
many frames).  Values are taken as the file has them, so that another VR, blanks, NULs, several
values, text for a number or a number beyond any sense are met here and nowhere else.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lungdx_paddle.manifest_cells import SPACING_MM
from lungdx_paddle.words import printable

LONGEST_SIDE = 8192
"""Rows and columns of a slice: CT has 512 to 2048, and this many need 128 MiB."""

FARTHEST_MM = 10_000.0
"""Positions: a scanner's table moves 2 m about its origin, and no hospital has one of 10 m."""

THICKNESS_MM = (0.01, 100.0)
"""Slices of micro-CT to slabs; LIDC has 0.6 to 5 mm."""

STEEPEST_SLOPE = 100.0
"""HU a stored step: 65 535 of them are beyond any tissue or metal; makers write 1."""

FLATTEST_SLOPE = 1e-3
"""HU a stored step: all 65 535 of them together would be 65 HU."""

LARGEST_HU = 100_000.0
"""Of rescale intercepts and windows: makers write 0 to -8192, and 16 bits hold 65 535."""

MOST_FRAMES = 3000
"""Frames of one file: 1.5 m in steps of 0.5 mm; the headers of more fill minutes and memory."""

LONGEST_TEXT = 1024
"""Characters of an identifier; DICOM allows 64, and some anonymisers write more."""

LONGEST_LO = 64
"""Characters of a long string (LO, PS3.5, 6.2), such as a label or a code's meaning."""

SHOWN = 40
"""Characters of a broken value that are shown."""

PADDING = " \0\t\r\n"
"""What stands around values: DICOM pads with blanks and NULs, and some exporters with more."""

BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}
"""Value representations of binary numbers, for :mod:`struct`; all others are text."""


DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?([eE][+-]?\d+)?")
"""A number as many European programs write it; DICOM knows the point only."""

THOUSANDS = re.compile(r"[+-]?([1-9]\d{0,2},\d{3}|\d+)")
"""A comma that may part the thousands, or none at all."""


class NotASlice(Exception):
    """The file holds no CT slice; the message is the reason."""


class Need(Enum):
    """What becomes of a slice without a sane value of an attribute."""

    NEEDED = "left out if it is missing or broken"
    STATED = "left out if it is broken; missing has a meaning"
    HELPFUL = "kept; broken is noted and counts as missing"


@dataclass(frozen=True)
class Numbers:
    """An attribute of one or more numbers."""

    need: Need
    low: float
    high: float
    """Lowest and highest sane value."""
    count: int = 1
    several: bool = False
    """Further values are legal, and the first counts."""
    group: str = ""
    """Where enhanced files have it: for each frame, or shared by all."""


NEEDED, STATED, HELPFUL = Need

NUMBERS: Mapping[str, Numbers] = {
    "Rows": Numbers(NEEDED, 1, LONGEST_SIDE),
    "Columns": Numbers(NEEDED, 1, LONGEST_SIDE),
    "BitsAllocated": Numbers(NEEDED, 1, 64),
    "PixelRepresentation": Numbers(NEEDED, 0, 1),
    "ImagePositionPatient": Numbers(
        NEEDED, -FARTHEST_MM, FARTHEST_MM, count=3, group="PlanePositionSequence"
    ),
    "ImageOrientationPatient": Numbers(NEEDED, -1.01, 1.01, 6, group="PlaneOrientationSequence"),
    "PixelSpacing": Numbers(NEEDED, *SPACING_MM, count=2, group="PixelMeasuresSequence"),
    "RescaleIntercept": Numbers(
        STATED, -LARGEST_HU, LARGEST_HU, group="PixelValueTransformationSequence"
    ),
    "RescaleSlope": Numbers(
        STATED, -STEEPEST_SLOPE, STEEPEST_SLOPE, group="PixelValueTransformationSequence"
    ),
    "NumberOfFrames": Numbers(HELPFUL, 0, 2**31),  # some exporters write 0
    "SamplesPerPixel": Numbers(HELPFUL, 1, 64),
    "BitsStored": Numbers(HELPFUL, 1, 64),
    "HighBit": Numbers(HELPFUL, 0, 63),
    "PixelPaddingValue": Numbers(HELPFUL, -(2**16), 2**16),
    "PixelPaddingRangeLimit": Numbers(HELPFUL, -(2**16), 2**16),
    "InstanceNumber": Numbers(HELPFUL, -(2**31), 2**31),
    "SliceThickness": Numbers(HELPFUL, *THICKNESS_MM, group="PixelMeasuresSequence"),
    "WindowCenter": Numbers(
        HELPFUL, -LARGEST_HU, LARGEST_HU, several=True, group="FrameVOILUTSequence"
    ),
    "WindowWidth": Numbers(HELPFUL, 1e-3, LARGEST_HU, several=True, group="FrameVOILUTSequence"),
}
"""Every attribute of numbers."""

TEXTS: Mapping[str, Need] = {
    "SeriesInstanceUID": NEEDED,
    "SOPInstanceUID": NEEDED,
    "SOPClassUID": HELPFUL,  # modality CT will do
    "Modality": HELPFUL,
    "ImageType": HELPFUL,
    "PhotometricInterpretation": HELPFUL,
    "RescaleType": HELPFUL,
    "PatientID": HELPFUL,
    "StudyInstanceUID": HELPFUL,
    "FrameOfReferenceUID": HELPFUL,
}
"""Every attribute of text; a helpful one is never broken, but may be shortened."""

SHARED, PER_FRAME = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"


TAG: Mapping[str, int] = {name: Tag(name) for name in (*NUMBERS, *TEXTS, SHARED, PER_FRAME)}
"""All that is parsed of a file, by name."""


class Attributes:
    """The attributes of a file, or of one frame of it, and what was wrong with them.

    Args:
        dataset: the file's header.
        groups: functional groups of the frame, then those shared by all frames.
    """

    def __init__(self, dataset: Dataset, groups: Sequence[Dataset] = ()) -> None:
        self._dataset, self._groups = dataset, groups
        self.notes: dict[str, str] = {}
        """By attribute: what was ignored or changed, and why."""

    @property
    def frames(self) -> Sequence[Dataset]:
        """The functional groups of each frame of an enhanced file; of another file none."""
        return self._dataset.get(PER_FRAME) or []

    def of_frame(self, frame: int) -> Attributes:
        """Those of one frame: what the file has, else the frame, else all frames."""
        shared = (self._dataset.get(SHARED) or [])[:1]
        its = Attributes(self._dataset, [*self.frames[frame : frame + 1], *shared])
        its.notes.update(self.notes)
        return its

    def numbers(self, name: str) -> tuple[float, ...]:
        """The values of one of :data:`NUMBERS`, all finite and in its range; none if missing.

        Raises:
            NotASlice: it has no sane value and is needed.
        """
        rule = NUMBERS[name]
        of_frames = (item for g in self._groups if rule.group for item in g.get(rule.group) or [])
        elements = (item.get_item(TAG[name]) for item in (self._dataset, *of_frames))
        values = next(filter(None, (_unpacked(e) for e in elements if e is not None)), ())
        if not values:
            if rule.need is NEEDED:
                raise NotASlice(f"no {name}")
            return ()
        pointed = values if rule.several else _with_points(values, rule)
        numbers, wrong = _sane(pointed, rule)
        if not wrong:
            if pointed is not values:
                self.notes[name] = f"{name} is written with a decimal comma: {_shown(values)}"
            return numbers
        found = f"{name} {wrong}: {_shown(values)}"
        if rule.need is not HELPFUL:
            raise NotASlice(found)
        self.notes[name] = f"{found}, ignored"
        return ()

    def number(self, name: str, default: float = 0.0) -> float:
        """The first value of one of :data:`NUMBERS`, or the default.

        Raises:
            NotASlice: as :meth:`numbers`.
        """
        return next(iter(self.numbers(name)), default)

    def text(self, name: str) -> str:
        """The value of one of :data:`TEXTS`; empty if missing.

        What cannot be printed is escaped, since identifiers reach terminals and file names.

        Raises:
            NotASlice: it is missing or longer than :data:`LONGEST_TEXT`, and is needed.
        """
        element = self._dataset.get_item(TAG[name])
        value: Any = element.value if element is not None else None
        if isinstance(value, bytes):
            value = value.decode("ascii") if value.isascii() else self._decoded(name, value)
        several = value is not None and not isinstance(value, str)
        text = ("\\".join(map(str, value)) if several else value or "").strip(PADDING)
        if TEXTS[name] is NEEDED and not text:
            raise NotASlice(f"no {name}")
        if not text.isprintable():
            text = printable(text)
            self.notes[name] = f"{name} has unprintable characters: {_shown([text])}, escaped"
        if len(text) > LONGEST_TEXT:
            found = f"{name} has {len(text)} characters: {_shown([text])}"
            if TEXTS[name] is NEEDED:
                raise NotASlice(found)
            digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8]
            text = f"{text[:SHOWN]}-{digest}"  # lest two of them become one
            self.notes[name] = f"{found}, shortened"
        return text

    def _decoded(self, name: str, value: bytes) -> str:
        try:
            found: Any = self._dataset.get(name)  # by the file's character set
            return found if isinstance(found, str) else "\\".join(map(str, found or ()))
        except Exception:  # pydicom raises nearly anything
            return value.decode("latin-1")


def _unpacked(element: Any) -> Sequence[Any]:
    """The values of a data element: numbers, or texts as they are written."""
    value = element.value
    if not isinstance(value, bytes):  # an empty one, or unpacked before
        values = [value] if isinstance(value, (str, int, float)) else list(value or [])
        return [v for v in values if v not in (None, "")]
    # What the file does not say, the dictionary does: "US" of "US or SS".
    vr = dictionary_VR(element.tag)[:2] if element.VR in (None, "UN") else element.VR
    if code := BINARY.get(vr):
        order = "<" if element.is_little_endian else ">"
        count = len(value) // struct.calcsize(code)
        return struct.unpack_from(f"{order}{count}{code}", value)
    texts = value.decode("latin-1").strip(PADDING)
    return texts.split("\\") if texts else []


def _with_points(values: Sequence[Any], rule: Numbers) -> Sequence[Any]:
    """The values themselves, or with a point for each comma where nothing else can be meant."""
    texts = [v.strip(PADDING) for v in values if isinstance(v, str)]
    if not any("," in text for text in texts) or not all(map(DECIMAL_COMMA.fullmatch, texts)):
        return values
    thousands = [text.replace(",", "") for text in texts]
    if all(map(THOUSANDS.fullmatch, texts)) and not _sane(thousands, rule)[1]:
        return values
    return [text.replace(",", ".") for text in texts]


def _sane(values: Sequence[Any], rule: Numbers) -> tuple[tuple[float, ...], str]:
    """The numbers, and what is wrong with them."""
    try:
        # Python's float knows 1_000 and digits of other scripts, which DICOM does not.
        if any(isinstance(v, str) and ("_" in v or not v.isascii()) for v in values):
            raise ValueError
        numbers = tuple(float(v.strip(PADDING) if isinstance(v, str) else v) for v in values)
    except (ValueError, TypeError, OverflowError):
        return (), "is no number" if len(values) == 1 else "are no numbers"
    if not all(map(math.isfinite, numbers)):
        return (), "is not finite"
    if rule.several or (rule.count == 1 and len(set(numbers)) == 1):
        numbers = numbers[: rule.count]
    if len(numbers) != rule.count:
        return (), f"has {len(numbers)} numbers where {rule.count} are known"
    if min(numbers) < rule.low or max(numbers) > rule.high:
        return (), f"is out of range ({rule.low:g} to {rule.high:g})"
    return numbers, ""


def _shown(values: Sequence[Any]) -> str:
    text = "\\".join(str(value).strip(PADDING) for value in values[:SHOWN])
    return ascii(text if len(text) <= SHOWN else text[:SHOWN] + "...")
