"""A folder or zip archive of DICOM files -> CT series whose slices are read one at a time.

Slices are known by their SOP instance UID and ordered by their position along the normal
of the image plane (DICOM PS3.3, C.7.6.2), never by file name, number or series layout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lungdx_paddle.lidc.attributes import NotASlice
from lungdx_paddle.lidc.copies import drop_copies
from lungdx_paddle.lidc.header import quiet
from lungdx_paddle.lidc.pixels import read_hu
from lungdx_paddle.lidc.series_checks import (
    SAME_POSITION_MM,
    normal_of,
    plane_of,
    series_warnings,
    shared_uids,
)
from lungdx_paddle.lidc.slices import Slice, read_slices
from lungdx_paddle.lidc.sources import FEW_FILES, Skipped, SourceFile, list_files
from lungdx_paddle.progress import bar
from lungdx_paddle.words import count_of, printable
from lungdx_paddle.workers import run_all

FILES_AT_ONCE = 200
"""Headers that a worker reads at a time, a quarter of a second's work."""

SAME_DIRECTION = 1e-3
"""Direction cosines that differ by less are one orientation (0.06 degrees)."""

SAME_SPACING = 1e-4
"""Pixel spacings that differ by a smaller part are one: 0.05 mm over 512 pixels of 0.9 mm."""

MOST_GRIDS = 50
"""Sizes, spacings and orientations of a series that others are compared with by nearness; a
series has one or two, and thousands would each be compared with all."""


@dataclass(frozen=True, eq=False)
class Series:
    """One CT series: its geometry, and its slices on disk, which are read one at a time."""

    series_uid: str
    """DICOM (0020,000E)."""
    study_uid: str
    patient_id: str
    """DICOM (0010,0020); the series UID where that is empty."""
    slices: tuple[Slice, ...]
    """From the caudal to the cranial end along the slice normal."""
    z_mm: np.ndarray
    """(n,) float: position along the normal; for axial slices the z of (0020,0032)."""
    spacing_zyx_mm: tuple[float, float, float]
    """Median step between slices, distance of rows, of columns."""
    shape_zyx: tuple[int, int, int]
    header_window: tuple[float, float] | None
    """(centre, width) in HU of the first slice that has one, DICOM (0028,1050) and (1051)."""
    warnings: tuple[str, ...]
    """What is unusual, with numbers: missing slices, uneven steps, gantry tilt, another plane
    than axial, shared UIDs, values that may be no HU, attributes that were ignored."""

    def __repr__(self) -> str:
        slices, rows, columns = self.shape_zyx
        size = f"{count_of(slices, 'slice')} of {rows} x {columns}"
        spacing = " x ".join(f"{mm:.4g}" for mm in self.spacing_zyx_mm)
        return f"Series({self.patient_id}, UID ...{self.series_uid[-6:]}: {size}, {spacing} mm)"

    @property
    def sop_uids(self) -> tuple[str, ...]:
        """SOP instance UIDs in the order of ``slices``."""
        return tuple(s.sop_uid for s in self.slices)

    @property
    def plane(self) -> str:
        """axial, coronal or sagittal: in which the slices lie, or to which nearest."""
        return plane_of(normal_of(self.slices[0]))

    def index_of(self, sop_uid: str) -> int | None:
        """Index of a slice, or None where the series has no such slice, or several."""
        return self._index.get(sop_uid)

    def slice_hu(self, index: int) -> np.ndarray:
        """Read one slice from disk: (rows, columns) int16 in HU; padding becomes air.

        Raises:
            LidcError: the pixels cannot be read, or a decoder for them is not installed.
        """
        return read_hu(self.slices[index])

    def volume_hu(self) -> np.ndarray:
        """Read all slices: (slices, rows, columns) int16 in HU, the caudal one first.

        Raises:
            LidcError: as :meth:`slice_hu`.
        """
        volume_hu = np.empty(self.shape_zyx, np.int16)
        for index in range(len(self.slices)):
            volume_hu[index] = self.slice_hu(index)
        return volume_hu

    @cached_property
    def _index(self) -> dict[str, int]:
        shared = set(shared_uids(self.slices))
        return {s.sop_uid: i for i, s in enumerate(self.slices) if s.sop_uid not in shared}


def find_series(source: Path, pool: Executor | None = None) -> tuple[list[Series], list[Skipped]]:
    """Find every CT series below a folder or in a zip archive, whatever its layout.

    Only headers are read here.  A slice of a series

    * is of a CT SOP class (0008,0016), or of modality CT (0008,0060) where that is missing,
      no localizer and not in colour;
    * has 8 or 16 bits a pixel, all bytes of its pixels, a position (0020,0032), an orientation
      (0020,0037) and a pixel spacing (0028,0030) above 0;
    * has the size, the spacing (within :data:`SAME_SPACING`) and the orientation (within
      :data:`SAME_DIRECTION`) that most slices of its series have;
    * is no copy: another file with its SOP instance UID (0008,0018), at its place.

    Files without one of these are left out one by one, with the reason; so are those without
    a sane value of an attribute that is needed (:mod:`lungdx_paddle.lidc.attributes`).
    Missing slices, uneven steps, gantry tilt, another plane than axial, several slices at one
    place or of one UID and attributes that were ignored are noted in :attr:`Series.warnings`.
    File names, instance numbers, times and the patient's data may be anything.

    Args:
        source: a folder, a zip archive or one file.
        pool: reads the headers of a large collection; None: this process.

    Returns:
        The series by patient and UID, and every file that is no slice of one, with the
        reason.

    Raises:
        LidcError: there is no such path.
    """
    files, skipped = list_files(source)
    found: dict[str, list[Slice]] = {}
    portions = [files[i : i + FILES_AT_ONCE] for i in range(0, len(files), FILES_AT_ONCE)]
    few = len(files) < FEW_FILES
    with bar(total=len(files), desc="headers", unit="file", disable=few, leave=False) as done:
        # Of 1000 files, a second's work, here.
        for slices, others in run_all(pool, _read_headers, portions, here=5):
            for s in slices:  # by series: eight LIDC patients have two
                found.setdefault(s.series_uid, []).append(s)
            skipped.extend(others)
            done.update(len(slices) + len(others))
    series = [_assemble(group, skipped) for group in found.values()]
    return sorted(series, key=lambda s: (s.patient_id, s.series_uid)), skipped


def _read_headers(files: Sequence[SourceFile]) -> tuple[list[Slice], list[Skipped]]:
    slices: list[Slice] = []
    skipped: list[Skipped] = []
    with quiet():  # once, and not for each file anew
        for file in files:
            try:
                slices.extend(read_slices(file))
            except NotASlice as reason:
                skipped.append(Skipped(str(file), printable(" ".join(str(reason).split()))))
    return slices, skipped


def _assemble(slices: list[Slice], skipped: list[Skipped]) -> Series:
    groups = [drop_copies(group, skipped) for group in _by_grid(slices)]
    slices = max(groups, key=len)
    reason = "other size, spacing or orientation than its series"
    others = (s for group in groups if group is not slices for s in group)
    skipped.extend(Skipped(str(s.file), reason) for s in others)
    first = slices[0]
    normal = normal_of(first)
    slices.sort(key=lambda s: (round(float(normal @ s.position_mm), 4), s.instance, s.sop_uid))
    z_mm = np.array([normal @ s.position_mm for s in slices])
    steps = np.diff(z_mm)
    steps = steps[steps > SAME_POSITION_MM]
    rows_mm, columns_mm = first.pixel_spacing_mm
    step_mm = float(np.median(steps)) if len(steps) else first.thickness_mm or rows_mm
    return Series(
        series_uid=first.series_uid,
        study_uid=_usual(s.study_uid for s in slices),
        patient_id=_usual(s.patient_id for s in slices) or first.series_uid,
        slices=tuple(slices),
        z_mm=z_mm,
        spacing_zyx_mm=(step_mm, rows_mm, columns_mm),
        shape_zyx=(len(slices), first.rows, first.columns),
        header_window=next((s.window for s in slices if s.window), None),
        warnings=series_warnings(slices, z_mm, step_mm),
    )


def _usual(values: Iterable[str]) -> str:
    """The most frequent value that is not empty; of several the first in the alphabet."""
    counts = Counter(filter(None, values))
    return min(counts, key=lambda value: (-counts[value], value), default="")


def _by_grid(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices of one size, spacing and orientation: a volume can have but one of each."""
    groups: list[list[Slice]] = []
    known: dict[tuple[object, ...], list[Slice]] = {}
    for s in slices:
        grid = (s.rows, s.columns, s.pixel_spacing_mm, s.orientation)
        if grid not in known:
            near = (group for group in groups[:MOST_GRIDS] if _same_grid(s, group[0]))
            known[grid] = next(near, [])
            if not known[grid]:
                groups.append(known[grid])
        known[grid].append(s)
    return groups


def _same_grid(one: Slice, other: Slice) -> bool:
    spacings = zip(one.pixel_spacing_mm, other.pixel_spacing_mm)
    directions = zip(one.orientation, other.orientation)
    return (
        (one.rows, one.columns) == (other.rows, other.columns)
        and all(math.isclose(a, b, rel_tol=SAME_SPACING) for a, b in spacings)
        and all(math.isclose(a, b, abs_tol=SAME_DIRECTION, rel_tol=0) for a, b in directions)
    )
