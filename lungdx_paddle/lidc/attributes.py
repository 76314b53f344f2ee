"""The DICOM attributes that a CT slice needs, and how to get at their values.

Names and meanings are those of DICOM PS3.3 (C.7.6.2, C.7.6.3, C.8.2; C.7.6.16 for files
of many frames).
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

TAGS: list[Any] = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "ImageType",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "SliceThickness",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "RescaleIntercept",
    "RescaleSlope",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
]
"""All that is parsed of a file."""


class NotASlice(Exception):
    """The file holds no CT slice; the message is the reason, for :class:`Skipped`."""


class FrameValues:
    """Values of one frame: of the file, else of the frame, else shared by all frames."""

    def __init__(self, header: Dataset, frame: int) -> None:
        own = header.get("PerFrameFunctionalGroupsSequence") or []
        shared = header.get("SharedFunctionalGroupsSequence") or []
        self.header = header
        self.groups = [*own[frame : frame + 1], *shared[:1]]

    def numbers(self, name: str, group: str) -> tuple[float, ...]:
        """The finite numbers of an attribute; empty if it is missing or says something else."""
        nested = [item for g in self.groups for item in (g.get(group) or [])]
        for part in (self.header, *nested):
            values = values_of(part.get(name))
            if values:
                numbers = tuple(float(value) for value in values)
                return numbers if all(map(math.isfinite, numbers)) else ()
        return ()

    def required(self, name: str, group: str, count: int) -> tuple[float, ...]:
        """The ``count`` numbers of an attribute without which a slice has no place.

        Raises:
            NotASlice: it is missing, or there are more or fewer of them.
        """
        numbers = self.numbers(name, group)
        if len(numbers) != count:
            raise NotASlice(f"no {name} ({count} numbers)")
        return numbers


def values_of(value: Any) -> list[Any]:
    """What an attribute holds: one value, several (joined by a backslash), or none."""
    values = [value] if isinstance(value, (str, int, float)) else list(value or [])
    return [v for v in values if v is not None and v != ""]


def first(header: Dataset, name: str, default: Any) -> Any:
    """The first value of an attribute, or the default where it is missing or empty."""
    return next(iter(values_of(header.get(name))), default)


def required(header: Dataset, name: str) -> Any:
    """The first value of an attribute without which a file is no slice.

    Raises:
        NotASlice: it is missing or empty.
    """
    value = first(header, name, None)
    if value is None:
        raise NotASlice(f"no {name}")
    return value
