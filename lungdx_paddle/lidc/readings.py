"""The content of one LIDC XML file as values: readings, outlines, ratings and marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from lungdx_paddle.words import count_of

_NAMES = "subtlety internalStructure calcification sphericity margin lobulation spiculation"
CHARACTERISTICS: Mapping[str, int] = MappingProxyType(
    dict.fromkeys([*_NAMES.split(), "texture", "malignancy"], 5) | {"calcification": 6}
)
"""The nine characteristics, in the file's spelling and order, and the highest rating of each."""


@dataclass(frozen=True, eq=False)
class Contour:
    """One closed outline of one reader on one slice."""

    sop_uid: str
    """SOP instance UID of the slice, DICOM (0008,0018); the only sure key to it."""
    z_mm: float | None
    """Slice position of the file, wrong in a few places; None if it is no number."""
    inclusion: bool
    """False: the outlined area is cut out of the nodule."""
    points_xy: np.ndarray
    """(n, 2) int32: column and row of the pixels of the outline, from 0."""

    def __repr__(self) -> str:
        kind = "" if self.inclusion else ", cut out"
        z = "unknown" if self.z_mm is None else f"{self.z_mm:g} mm"
        where = f"UID ...{self.sop_uid[-6:]}, z {z}"
        return f"Contour({where}: {count_of(len(self.points_xy), 'point')}{kind})"


@dataclass(frozen=True, eq=False)
class Reading:
    """One reader's mark of one nodule of 3 mm or more: ratings and outlines."""

    reader: int
    """Number of the reading session in the file, from 0; the readers have no names."""
    nodule_id: str
    """The reader's own name for it; means nothing across readers and may repeat."""
    characteristics: Mapping[str, int]
    """Ratings by name (:data:`CHARACTERISTICS`); what the reader did not rate is absent."""
    contours: tuple[Contour, ...]
    """In the order of the file."""

    def __repr__(self) -> str:
        outlines = count_of(len(self.contours), "outline")
        rating = self.malignancy or "not rated"
        return f"Reading(reader {self.reader}, {self.nodule_id!r}: {outlines}, malignancy {rating})"

    @property
    def malignancy(self) -> int | None:
        """1 (highly unlikely) to 5 (highly suspicious); None if not rated."""
        return self.characteristics.get("malignancy")

    @property
    def content(self) -> tuple[object, ...]:
        """All that the reader marked, to be compared: everything but the reader's number."""
        outlines = ((c.sop_uid, c.z_mm, c.inclusion, c.points_xy.tobytes()) for c in self.contours)
        return (self.nodule_id, tuple(sorted(self.characteristics.items())), *outlines)


@dataclass(frozen=True)
class Mark:
    """Centre of a nodule under 3 mm, or of a finding of 3 mm or more that is no nodule."""

    reader: int
    nodule_id: str
    sop_uid: str
    z_mm: float | None
    xy: tuple[int, int]
    """Column and row, from 0."""


@dataclass(frozen=True, eq=False)
class Annotations:
    """Everything that the readers marked in one CT series."""

    series_uid: str
    study_uid: str
    readers: int
    """Number of reading sessions: four, but 3 and 8 occur."""
    readings: tuple[Reading, ...]
    """Nodules of 3 mm or more, session by session."""
    small_nodules: tuple[Mark, ...]
    """Nodules under 3 mm."""
    non_nodules: tuple[Mark, ...]
    """Findings of 3 mm or more that are no nodules."""
    source: str
    """Path of the file, for messages."""
    warnings: tuple[str, ...] = ()
    """What is unusual about the file: positions that are no numbers, sessions that repeat."""

    @property
    def contours(self) -> tuple[Contour, ...]:
        """Those of all readings."""
        return tuple(contour for reading in self.readings for contour in reading.contours)

    @property
    def content(self) -> tuple[object, ...]:
        """All that the readers marked, to be compared with another file of the series."""
        readings = tuple((reading.reader, *reading.content) for reading in self.readings)
        return self.readers, readings, self.small_nodules, self.non_nodules

    def __repr__(self) -> str:
        counts = {
            "reader": self.readers,
            "reading": len(self.readings),
            "small nodule": len(self.small_nodules),
            "non-nodule": len(self.non_nodules),
        }
        named = ", ".join(count_of(number, noun) for noun, number in counts.items())
        return f"Annotations(UID ...{self.series_uid[-6:]}: {named})"
