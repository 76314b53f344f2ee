"""The answer of a DICOM node to a study: a report and a segmentation for each CT that is marked."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.description import read_description
from lungdx_paddle.inference.locate import left_out, regions_of_places
from lungdx_paddle.inference.points import ANY_SERIES, NamedPoint, read_points
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.scan_findings import findings_of_regions
from lungdx_paddle.inference.segmentations import KINDS, Segmentation, read_segmentation
from lungdx_paddle.lidc import Series, Skipped, find_series
from lungdx_paddle.lidc.header import quiet
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.progress import log
from lungdx_paddle.reporting.dicom_source import dicom_bytes, digest_of, uid_of
from lungdx_paddle.reporting.segmentation import segmentation
from lungdx_paddle.reporting.structured_report import structured_report

STATION = "LUNGDX NODE"
"""Station name, DICOM (0008,1010), of what a node has made: no marks, should it come back.  A
segmentation that ``lungdx predict`` wrote is one like any other."""


@dataclass(frozen=True)
class Answerer:
    """Answers a study by a model."""

    predictor: Predictor
    points: Path | None = None
    """A file as :func:`~lungdx_paddle.inference.points.read_points` reads it, read anew for
    each study."""

    def __call__(self, folder: Path) -> list[tuple[str, bytes]]:
        """The results for a study, as files: by CT series a report (SR) and a segmentation (SEG).

        Their UIDs depend on the model, the CT and the marks alone.

        Args:
            folder: the study's instances.

        Raises:
            LidcError: no CT is there, none is marked, or none of those that are can be read.
            ConfigError: the file of points is bad.
        """
        found, skipped = find_series(folder)
        problems = left_out(skipped)
        marks = list(_marks(skipped, problems))
        if not (found or marks or problems):
            return []  # reports, say
        points = read_points(self.points) if self.points else {}
        marked = _marked(found, marks, points, problems)
        # They go into reports, where a path of this machine says nothing.
        problems = [problem.replace(f"{folder}{os.sep}", "") for problem in problems]
        results: list[tuple[str, bytes]] = []
        for number, series in enumerate(found, start=1):
            try:
                for name, dataset in self._results(series, marked[series.series_uid], problems):
                    results.append((f"{number}-{name}.dcm", dicom_bytes(dataset)))
            except LidcError as error:
                problems.append(str(error))
        if not results:
            raise LidcError(
                "study",
                expected="a CT, and a SEG, an RTSTRUCT or points that mark nodules in it",
                found="; ".join(problems[:2]) or f"{len(found)} CT series without marks",
                fix="send what is missing: the study is kept, and tried again with it",
            )
        for problem in problems:
            log.warning("study %s: %s", found[0].study_uid, problem)
        return results

    def _results(
        self, series: Series, regions: Sequence[Region], problems: list[str]
    ) -> Iterator[tuple[str, Dataset]]:
        """The report and the segmentation of a CT; nothing where no nodule is marked in it."""
        if regions and series.plane != "axial":
            problems.append(f"series {series.series_uid} is {series.plane}: the model knows axial")
            return
        if len({region.number for region in regions}) < len(regions):  # of several sources
            regions = [replace(region, number=k) for k, region in enumerate(regions, start=1)]
        warnings = (*series.warnings, *problems)
        findings = list(findings_of_regions(self.predictor, series, regions, warnings))
        whole = [finding for finding in findings if finding.probabilities is not None]
        problems += [
            f"nodule {finding.about['nodule']}: {finding.about.get('reason', 'no slice')}"
            for finding in findings
            if finding.probabilities is None
        ]
        if not whole:
            return
        description = read_description(self.predictor.folder)
        seed = [digest_of(description), series.series_uid, *series.sop_uids]
        for region in regions:
            seed += [
                f"{k} {a.corner_xy} {a.pixels.tobytes().hex()}" for k, a in region.areas.items()
            ]
        for name, make in (("report", structured_report), ("segmentation", segmentation)):
            dataset = make(whole, description)
            dataset.StationName = STATION
            dataset.SOPInstanceUID = uid_of(name, *seed)
            dataset.SeriesInstanceUID = uid_of(name, "series", *seed)
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
            yield name, dataset


def _marks(skipped: Sequence[Skipped], problems: list[str]) -> Iterator[Segmentation]:
    """The SEGs and RTSTRUCTs among the files that are no slices, but for answers of ours.

    A PACS may send every new object on, also the one that came from here.
    """
    for file in skipped:
        try:
            meta = pydicom.filereader.read_file_meta_info(file.path)  # which we have written
            if meta.MediaStorageSOPClassUID in KINDS and not _is_ours(file.path):
                yield read_segmentation(Path(file.path))
        except LidcError as error:
            problems.append(str(error))


def _is_ours(path: str) -> bool:
    with quiet():
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["StationName"])
        return header.get("StationName") == STATION


def _marked(
    found: Sequence[Series],
    marks: Sequence[Segmentation],
    points: Mapping[str, Sequence[NamedPoint]],
    problems: list[str],
) -> dict[str, list[Region]]:
    """{series UID: the regions that are marked in it}; why a mark fits none is a problem."""
    marked: dict[str, list[Region]] = {series.series_uid: [] for series in found}
    for mark in marks:
        named = [series for series in found if series.series_uid in mark.series_uids]
        errors = []
        for series in named or found:
            try:
                marked[series.series_uid] += mark.regions(series)
            except LidcError as error:
                errors.append(str(error))
        if len(errors) == len(named or found):
            problems.append(errors[0] if errors else f"a {mark.kind}, but no CT")
    for series in found:
        own = points.get(series.series_uid, points.get(ANY_SERIES, ()))
        for number, point in enumerate(own, start=1):
            try:
                (region,) = regions_of_places(series, [point])
            except LidcError as error:
                problems.append(str(error))
            else:
                region = replace(region, number=number)
                marked[series.series_uid].append(region)
    return marked
