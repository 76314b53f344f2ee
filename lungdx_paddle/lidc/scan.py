"""A CT series with its readers' marks, and the numbers of a patient's nodules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.annotations import find_annotations
from lungdx_paddle.lidc.dicom import Series, find_series
from lungdx_paddle.lidc.nodules import Nodule, group_readings
from lungdx_paddle.lidc.readings import Annotations


@dataclass(frozen=True, eq=False)
class Scan:
    """A CT series with its readers' marks."""

    series: Series
    annotations: Annotations

    def __repr__(self) -> str:
        return f"Scan({self.series!r}, {self.annotations!r})"

    @property
    def patient_id(self) -> str:
        """DICOM (0010,0020)."""
        return self.series.patient_id

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is unusual about the series, and about how its marks fit it."""
        return self.series.warnings

    @cached_property
    def nodules(self) -> tuple[Nodule, ...]:
        """Nodules that a reader outlined, from the caudal end; grouped once."""
        step_mm, row_mm, _ = self.series.spacing_zyx_mm
        return tuple(group_readings(self.annotations, row_mm, step_mm))


def find_scans(lidc: Path, xml: Path | None = None) -> list[Scan]:
    """Find every CT series that has annotations.

    :func:`find_series` and :func:`find_annotations` also return what is left out, and why.

    Args:
        lidc: folder or zip archive of DICOM files in any layout.
        xml: folder or zip archive of LIDC XML files; None: they lie beside the DICOM.

    Returns:
        The scans by patient and series UID.

    Raises:
        LidcError: there is no such path, or no series that the XML files describe.
    """
    series, _ = find_series(lidc)
    annotations, _ = find_annotations(lidc if xml is None else xml)
    scans = [Scan(s, annotations[s.series_uid]) for s in series if s.series_uid in annotations]
    if not scans:
        raise LidcError(
            str(lidc),
            expected="CT series and LIDC XML files of them",
            found=f"{len(series)} series and {len(annotations)} XML files of others",
            fix="give the folder or archive of the XML files as xml",
        )
    return scans


def first_numbers(series: Iterable[tuple[str, str, int]]) -> dict[str, int]:
    """The number of each series' first nodule, so that numbers are unique within a patient.

    Args:
        series: patient ID, series instance UID and number of nodules of each.

    Returns:
        By series UID; a patient's series are numbered through by UID, from 0.
    """
    first: dict[str, int] = {}
    following: Counter[str] = Counter()
    for patient_id, series_uid, nodules in sorted(series):
        first[series_uid] = following[patient_id]
        following[patient_id] += nodules
    return first
