"""A CT series with its readers' marks, and the numbers of a patient's nodules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.annotations import LeftOutXml, find_annotations
from lungdx_paddle.lidc.dicom import Series, find_series
from lungdx_paddle.lidc.nodules import Nodule, group_readings, xml_positions
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.lidc.sources import Skipped
from lungdx_paddle.words import count_of

Z_TOLERANCE_MM = 0.1
"""The XML's position of a slice may differ so much from that of the DICOM: some round it."""


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
        """What is unusual about the series and its XML file, and about how the marks fit it."""
        own = (*self.series.warnings, *self.annotations.warnings)
        return (*own, *_doubts(self.series, self.annotations))

    @cached_property
    def nodules(self) -> tuple[Nodule, ...]:
        """Nodules that a reader outlined, from the caudal end; grouped once."""
        step_mm, row_mm, column_mm = self.series.spacing_zyx_mm
        places = dict(zip(self.series.sop_uids, self.series.z_mm.tolist()))
        return tuple(group_readings(self.annotations, (row_mm, column_mm), step_mm, places))


def _doubts(series: Series, annotations: Annotations) -> Iterator[str]:
    """How the marks do not fit the series."""
    named = {
        "series": (annotations.series_uid, series.series_uid),
        "study": (annotations.study_uid, series.study_uid),
    }
    others = "; ".join(
        f"{what} {marks}, the DICOM {own}"
        for what, (marks, own) in named.items()
        if own and own != marks
    )
    if others:
        yield f"the XML names {others}: another CT, or one of them was anonymised again"
    by_xml = xml_positions(annotations)
    dicom_mm = {s.sop_uid: s.position_mm[2] for s in series.slices}
    apart_mm = [abs(dicom_mm[uid] - z_mm) for uid, z_mm in by_xml.items() if uid in dicom_mm]
    if elsewhere := sum(mm > Z_TOLERANCE_MM for mm in apart_mm):
        yield (
            f"{elsewhere} of {count_of(len(apart_mm), 'outlined slice')} elsewhere in the XML than "
            f"in the DICOM, which counts: by up to {max(apart_mm):.4g} mm"
        )
    outlined = {contour.sop_uid for contour in annotations.contours}
    if unknown := outlined - set(dicom_mm) - set(by_xml):
        yield (
            f"{len(unknown)} of {count_of(len(outlined), 'outlined slice')} without a place, in "
            "the series or in the XML: joined with no other slice's outlines"
        )
    _, rows, columns = series.shape_zyx
    points = [contour.points_xy for contour in annotations.contours]
    if outside := sum(bool((p >= (columns, rows)).any()) for p in points):
        yield (
            f"{outside} of {count_of(len(points), 'outline')} reaching beyond the slice's "
            f"{rows} x {columns} pixels, and cut off there"
        )


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
    annotations, left_out = find_annotations(lidc if xml is None else xml)
    scans = [Scan(s, annotations[s.series_uid]) for s in series if s.series_uid in annotations]
    if not scans:
        raise no_marks(lidc, series, annotations, left_out)
    return scans


def no_marks(
    lidc: Path,
    series: Sequence[Series],
    annotations: Mapping[str, Annotations],
    left_out: Sequence[Skipped],
) -> LidcError:
    """The error that says why none of the XML files fits one of the series.

    Args:
        lidc: the folder or archive, as the user gave it.
        series: what was found there.
        annotations: of other series, by UID.
        left_out: files that are no LIDC XML, or were refused.
    """
    found = f"none for {len(series)} series"
    fix = "give the folder or archive of the XML files with --xml"
    if annotations:
        found += (
            f", {count_of(len(annotations), 'XML file')} of others (such as {min(annotations)}, "
            f"where the CT has {series[0].series_uid}), as after a second anonymisation"
        )
        fix = "give the XML files that were anonymised with this CT with --xml"
    refused = [file for file in left_out if isinstance(file, LeftOutXml)]
    if refused:
        named = f"{refused[0].path}: {refused[0].reason}"
        found += f", {count_of(len(refused), 'XML file')} left out ({named})"
        fix = "see to these files first"
    return LidcError(str(lidc), expected="LIDC XML files of its series", found=found, fix=fix)


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
