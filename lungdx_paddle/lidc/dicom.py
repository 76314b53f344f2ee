"""A folder or zip archive of DICOM files -> CT series whose slices are read one at a time.

Slices are known by their SOP instance UID and ordered by their position along the normal
of the image plane (DICOM PS3.3, C.7.6.2), never by file name, number or series layout.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.lidc.attributes import NotASlice
from lungdx_paddle.lidc.headers import Slice, read_header
from lungdx_paddle.lidc.pixels import read_hu
from lungdx_paddle.lidc.sources import Skipped, SourceFile, list_files
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import ALONE, Workers

__all__ = ["Series", "Skipped", "find_series"]

FILES_AT_ONCE = 1000
"""Headers that a worker reads at a time: half a second's work, so that its start is paid for
and the files of a single series need no second process."""

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one place; positions are written with 2 or more decimals."""

STEP_TOLERANCE = 0.1
"""Steps may differ by this part of the usual one: makers round positions to 0.1 mm."""

GAP = 1.5
"""From this many usual steps on, a slice is missing between two neighbours."""

TILT_DEGREES = 0.5
"""A larger shear than this is a tilted gantry; less is rounding of the positions."""

ORIENTATION_DECIMALS = 3
"""Direction cosines that agree this far are one orientation (0.06 degrees)."""


@dataclass(frozen=True, eq=False)
class Series:
    """One CT series: its geometry, and its slices on disk."""

    series_uid: str
    """DICOM (0020,000E)."""
    study_uid: str
    patient_id: str
    """DICOM (0010,0020); the series UID where that is empty."""
    slices: tuple[Slice, ...]
    """Foot to head along the slice normal."""
    z_mm: np.ndarray
    """(n,) float: position along the normal; for axial slices the z of (0020,0032)."""
    spacing_zyx_mm: tuple[float, float, float]
    """Usual step, distance of rows, of columns."""
    shape_zyx: tuple[int, int, int]
    header_window: tuple[float, float] | None
    """(centre, width) in HU of the first slice that has one, DICOM (0028,1050) and (1051)."""
    warnings: tuple[str, ...]
    """What is unusual, with numbers: missing slices, uneven steps, gantry tilt."""

    @property
    def sop_uids(self) -> tuple[str, ...]:
        """SOP instance UIDs, foot to head; with ``#frame`` behind it in multi-frame files."""
        return tuple(s.sop_uid for s in self.slices)

    def index_of(self, sop_uid: str) -> int | None:
        """Index of a slice, or None where the series has no such slice."""
        return self._index.get(sop_uid)

    def slice_hu(self, index: int) -> np.ndarray:
        """Read one slice from disk: (rows, columns) int16 in HU; padding becomes air.

        Raises:
            LidcError: the pixels cannot be read, or a decoder for them is not installed.
        """
        return read_hu(self.slices[index])

    def volume_hu(self) -> np.ndarray:
        """Read all slices: (slices, rows, columns) int16 in HU, foot to head.

        Raises:
            LidcError: as :meth:`slice_hu`.
        """
        volume_hu = np.empty(self.shape_zyx, np.int16)
        for index in range(len(self.slices)):
            volume_hu[index] = self.slice_hu(index)
        return volume_hu

    @cached_property
    def _index(self) -> dict[str, int]:
        return {s.sop_uid: i for i, s in enumerate(self.slices)}


def find_series(source: Path, workers: Workers = ALONE) -> tuple[list[Series], list[Skipped]]:
    """Find every CT series below a folder or in a zip archive, whatever its layout.

    Only headers are read here.  A damaged file costs itself and no more.

    Args:
        source: a folder, a zip archive or one file.
        workers: who reads the headers; more than one are worth it from thousands of files on.

    Returns:
        The series by patient and UID, and every file that is no slice of one, with the
        reason.

    Raises:
        LidcError: there is no such path.
    """
    files, skipped = list_files(source)
    slices: dict[str, list[Slice]] = {}
    portions = [files[i : i + FILES_AT_ONCE] for i in range(0, len(files), FILES_AT_ONCE)]
    with bar(
        total=len(files), desc="headers", unit="file", disable=len(portions) < 2, leave=False
    ) as done:
        for portion, (found, others) in zip(portions, workers.map(_read_headers, portions)):
            for s in found:  # by series: eight LIDC patients have two
                slices.setdefault(s.series_uid, []).append(s)
            skipped.extend(others)
            done.update(len(portion))
    series = [_assemble(group, skipped) for group in slices.values()]
    return sorted(series, key=lambda s: (s.patient_id, s.series_uid)), skipped


def _read_headers(files: Sequence[SourceFile]) -> tuple[list[Slice], list[Skipped]]:
    slices: list[Slice] = []
    skipped: list[Skipped] = []
    for file in files:
        try:
            slices.extend(read_header(file))
        except NotASlice as reason:
            skipped.append(Skipped(str(file), " ".join(str(reason).split())))  # one line
    return slices, skipped


def _assemble(slices: list[Slice], skipped: list[Skipped]) -> Series:
    slices = _drop_copies(slices, skipped)
    slices = _drop_strangers(slices, skipped)
    first = slices[0]
    normal = _normal(first)
    slices.sort(key=lambda s: (round(float(normal @ s.position_mm), 4), s.instance, s.sop_uid))
    z_mm = np.array([normal @ s.position_mm for s in slices])
    step_mm = _usual_step(z_mm) or first.thickness_mm or first.pixel_spacing_mm[0]
    rows_mm, columns_mm = first.pixel_spacing_mm
    return Series(
        series_uid=first.series_uid,
        study_uid=first.study_uid,
        patient_id=first.patient_id,
        slices=tuple(slices),
        z_mm=z_mm,
        spacing_zyx_mm=(step_mm, rows_mm, columns_mm),
        shape_zyx=(len(slices), first.pixels.rows, first.pixels.columns),
        header_window=next((s.window for s in slices if s.window), None),
        warnings=tuple(_step_warnings(z_mm) + _tilt_warnings(slices, normal)),
    )


def _drop_copies(slices: Sequence[Slice], skipped: list[Skipped]) -> list[Slice]:
    kept: dict[str, Slice] = {}
    for s in slices:
        first = kept.setdefault(s.sop_uid, s)
        if first is not s:
            skipped.append(Skipped(str(s.file), f"the same SOP instance UID as {first.file}"))
    return list(kept.values())


def _drop_strangers(slices: Sequence[Slice], skipped: list[Skipped]) -> list[Slice]:
    """Keep the most frequent size and orientation: a volume can have but one of each."""

    def kind(s: Slice) -> tuple[Any, ...]:
        directions = np.round(s.orientation, ORIENTATION_DECIMALS) + 0.0  # no -0.0
        return s.pixels.rows, s.pixels.columns, s.pixel_spacing_mm, tuple(directions)

    usual = Counter(map(kind, slices)).most_common(1)[0][0]
    reason = "other size, spacing or orientation than its series"
    skipped.extend(Skipped(str(s.file), reason) for s in slices if kind(s) != usual)
    return [s for s in slices if kind(s) == usual]


def _normal(s: Slice) -> np.ndarray:
    """Unit vector through the slices, towards the head (DICOM's +z)."""
    normal = np.cross(s.orientation[:3], s.orientation[3:])
    normal = normal / np.linalg.norm(normal)
    return -normal if normal[2] < 0 else normal


def _steps(z_mm: np.ndarray) -> np.ndarray:
    steps = np.diff(z_mm)
    return steps[steps > SAME_POSITION_MM]


def _usual_step(z_mm: np.ndarray) -> float:
    steps = _steps(z_mm)
    return float(np.median(steps)) if len(steps) else 0.0


def _step_warnings(z_mm: np.ndarray) -> list[str]:
    steps, usual = _steps(z_mm), _usual_step(z_mm)
    warnings = []
    gaps = steps[steps > GAP * usual]
    if len(gaps):
        missing = int(np.rint(gaps / usual - 1).sum())
        warnings.append(
            f"{missing} slices missing in {len(gaps)} gaps of up to {gaps.max():.4g} mm, "
            f"where {usual:.4g} mm is usual"
        )
    even = steps[steps <= GAP * usual]
    if len(even) and np.abs(even - usual).max() > STEP_TOLERANCE * usual:
        warnings.append(f"uneven steps of {even.min():.4g} to {even.max():.4g} mm")
    double = len(z_mm) - 1 - len(steps)
    if double > 0:
        warnings.append(f"{double} slices lie at the place of another one")
    return warnings


def _tilt_warnings(slices: Sequence[Slice], normal: np.ndarray) -> list[str]:
    way = np.subtract(slices[-1].position_mm, slices[0].position_mm)
    along = float(normal @ way)
    across = float(np.linalg.norm(way - along * normal))
    tilt = float(np.degrees(np.arctan2(across, along)))
    if tilt <= TILT_DEGREES or along <= SAME_POSITION_MM:
        return []
    return [f"gantry tilt of {tilt:.1f} degrees: the slices are shifted by {across:.4g} mm in all"]
