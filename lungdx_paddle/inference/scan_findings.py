"""Findings for the nodules of a CT, whatever marks them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.grow import MASS_MM
from lungdx_paddle.inference.locate import (
    Point,
    one_series,
    regions_of_points,
    regions_of_readings,
)
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import Series, read_annotations
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.preprocess.series import RegionCrop, crop_regions

LARGEST_MM = 100.0
"""Greatest width of what is answered: a SEG or an RTSTRUCT may outline lungs and heart too, which
are no nodules, and masses of LIDC have up to 70 mm."""

TRAINED_ON = (
    "the model was trained on this CT: its answer is no example of what it says of unseen patients"
)

WIDE_STEP = 1.5
"""Neighbouring slices that lie so many usual steps apart have one missing between them."""


def findings_of_regions(
    predictor: Predictor, series: Series, regions: Iterable[Region], warnings: Sequence[str] = ()
) -> Iterator[Finding]:
    """A finding for each nodule that is marked in a CT.

    Args:
        predictor: the model.
        series: the CT.
        regions: the nodules' pixels in it.
        warnings: what is doubtful about the CT as a whole.

    Yields:
        Findings with their region and crops, about ``series_uid``, ``nodule``, ``marked_by``,
        ``name`` (where the source has one), ``slices``, ``place_px`` [column, row, slice] and
        ``place_mm`` [x, y, z] of the middle slice, its ``area_mm2``, ``outline`` (polygons of
        [column, row]) and ``scale`` of its crop; ``diameter_mm``, ``volume_mm3`` and ``mean_hu``
        of the nodule; and what the source says.  Probabilities are the mean over the nodule's
        slices, the middle ones counting most.

    Raises:
        LidcError: a slice cannot be read, or its values are no HU.
    """
    regions = [_checked(region) for region in regions]
    if predictor.has_trained_on(series.series_uid):
        warnings = (TRAINED_ON, *warnings)
    crops, doubts = crop_regions(series, regions, predictor.window, predictor.crop_rule)
    for region in regions:
        own = [crop for crop in crops if crop.region is region]
        sentences = [
            *warnings,
            *doubts,
            *(f"nodule {region.number}: {doubt}" for doubt in region.doubts),
        ]
        about: dict[str, Any] = {"series_uid": series.series_uid, "nodule": region.number}
        about |= {"marked_by": region.origin, **({"name": region.name} if region.name else {})}
        about |= {"slices": len(own), **(_measured(own) if own else {}), **region.about}
        images = np.stack([crop.image for crop in own]) if own else None
        mean = None
        if images is not None:
            weights = slice_weights([float(series.z_mm[crop.index]) for crop in own])
            mean = {task: weights @ p for task, p in predictor.probabilities(images).items()}
        yield Finding(
            about,
            predictor.tasks,
            mean,
            tuple(dict.fromkeys(sentences)),
            predictor.calibration.cuts,
            region,
            images,
        )


def _checked(region: Region) -> Region:
    """A region with the doubts of its size and slices; without areas if it is no nodule."""
    width_mm, doubts = region.diameter_mm, list(region.doubts)
    if width_mm > LARGEST_MM:
        reason = f"{width_mm:.0f} mm wide: no nodule, of which none has {LARGEST_MM:.0f} mm"
        return replace(region, areas={}, about={**region.about, "reason": reason})
    of_readers = region.origin == "outline"
    if width_mm > MASS_MM and not of_readers and not any("mm wide" in doubt for doubt in doubts):
        doubts.append(f"{width_mm:.0f} mm wide: a mass rather than a nodule")
    steps_mm = np.diff(region.series.z_mm[sorted(region.areas)])
    if (steps_mm > WIDE_STEP * region.series.spacing_zyx_mm[0]).any():
        doubts.append("slices are missing within it: its volume is too small")
    return replace(region, doubts=tuple(doubts))


def _measured(crops: Sequence[RegionCrop]) -> dict[str, Any]:
    """What is measured on a region's pixels, rounded for a finding."""
    region = crops[0].region
    middle = next(crop for crop in crops if crop.index == region.middle)
    x, y, index = region.place_px
    _, row_mm, column_mm = region.series.spacing_zyx_mm
    pixels = np.array([region.areas[crop.index].pixels.sum() for crop in crops])
    return {
        "place_px": [round(x, 1), round(y, 1), index],
        "place_mm": [round(mm, 2) for mm in region.place_mm],
        "diameter_mm": round(region.diameter_mm, 1),
        "volume_mm3": round(region.volume_mm3, 1),
        "mean_hu": round(float(pixels @ [crop.mean_hu for crop in crops] / pixels.sum()), 1),
        "area_mm2": round(float(region.areas[index].pixels.sum()) * row_mm * column_mm, 1),
        "scale": round(middle.scale, 3),
        "outline": [outline.tolist() for outline in region.outlines(index)],
    }


def findings_from_readings(
    predictor: Predictor, folder: Path, xml: Path, series_uid: str = ""
) -> Iterator[Finding]:
    """A finding for each nodule that an LIDC XML file outlines in a CT.

    Args:
        predictor: the model.
        folder: the DICOM files; other series in it are left alone.
        xml: the readers' marks.
        series_uid: of the series, or the end of it; empty: the one that the XML file names.

    Yields:
        As :func:`findings_of_regions`; also about ``missing_slices`` (outlined, but not in the
        folder), and ``reason``, which says why there is no slice.

    Raises:
        LidcError: the series that the XML describes is not there or not axial, or a file is bad;
            after the last finding, if none of the nodules has a slice.
    """
    annotations = read_annotations(xml)
    described = "" if series_uid else xml.name
    series, warnings = one_series(folder, series_uid or annotations.series_uid, described)
    regions, doubts = regions_of_readings(series, annotations)
    yield from findings_of_regions(predictor, series, regions, (*warnings, *doubts))
    if regions and not any(region.areas for region in regions):
        uids = {contour.sop_uid for contour in annotations.contours}
        none_there = f"none of the {len(uids)} slices that {xml.name} outlines is in the series"
        none_enclosed = f"no outline of {xml.name} that encloses a pixel of its slice"
        raise LidcError(
            str(folder),
            expected="a nodule that can be predicted",
            found=none_there if uids and uids.isdisjoint(series.sop_uids) else none_enclosed,
            fix="give the XML file of this very series, and all of its slices",
        )


def findings_from_points(
    predictor: Predictor, folder: Path, points: Sequence[Point], series_uid: str = ""
) -> Iterator[Finding]:
    """A finding for the nodule at each point of a CT: :func:`findings_in_series` of points."""
    yield from findings_in_series(
        predictor, folder, lambda series: regions_of_points(series, points), series_uid
    )


def findings_in_series(
    predictor: Predictor,
    folder: Path,
    mark: Callable[[Series], Sequence[Region]],
    series_uid: str = "",
) -> Iterator[Finding]:
    """A finding for each nodule that is marked in a CT.

    Args:
        predictor: the model.
        folder: the DICOM files.
        mark: gives the nodules' pixels, such as
            ``lambda series: regions_of_points(series, [(312, 360, 87)])``.
        series_uid: of the series, or the end of it; empty: the folder holds one series.

    Yields:
        As :func:`findings_of_regions`; ``nodule`` is the number of the mark, and of a point
        there is ``distance_mm`` to the nodule's nearest pixel.

    Raises:
        LidcError: the folder holds no CT series, several, or one that is not axial, or a mark
            lies outside; then nothing is predicted.  Or the values are no HU
            (:func:`~lungdx_paddle.lidc.pixels.air_warnings`).  After the last finding, if no
            mark has a nodule.
    """
    series, warnings = one_series(folder, series_uid)
    regions = mark(series)
    yield from findings_of_regions(predictor, series, regions, warnings)
    if regions and not any(region.areas for region in regions):
        raise LidcError(
            str(folder),
            expected="a nodule where one is marked",
            found=regions[0].about["reason"],
            fix="point at the middle of a nodule, within 2 mm",
        )


def findings_from_segmentation(
    predictor: Predictor, folder: Path, file: Path, series_uid: str = ""
) -> Iterator[Finding]:
    """A finding for each segment of a DICOM SEG, or each ROI of an RTSTRUCT, of a CT.

    Args:
        predictor: the model.
        folder: the DICOM files; other series in it are left alone.
        file: the SEG or RTSTRUCT.
        series_uid: of the series, or the end of it; empty: the one that the file names.

    Yields:
        As :func:`findings_of_regions`; ``reason`` says why there is no slice.

    Raises:
        LidcError: the file is no SEG or RTSTRUCT, of another CT, empty or damaged, or its CT is
            not there; then nothing is predicted.
    """
    segmentation = read_segmentation(file)
    described = ""
    if not series_uid and len(segmentation.series_uids) == 1:
        (series_uid,), described = segmentation.series_uids, file.name
    series, warnings = one_series(folder, series_uid, described)
    yield from findings_of_regions(predictor, series, segmentation.regions(series), warnings)
