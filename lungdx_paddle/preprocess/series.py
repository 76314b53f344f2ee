"""One CT series and its readers' marks -> the crops of its nodules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Nodule, Scan, Series
from lungdx_paddle.lidc.pixels import AIR_HU, air_warnings, darkest_hu
from lungdx_paddle.lidc.regions import Region, region_of
from lungdx_paddle.preprocess.crop import PAPER, make_crop, rectangle
from lungdx_paddle.preprocess.crop_files import Crop
from lungdx_paddle.preprocess.window import Window, apply_window
from lungdx_paddle.words import count_of

OBLONG = 0.01
"""Rows and columns whose distances differ by a larger part are no squares; LIDC's are exact."""

LUNG_RANGE_HU = (-975, -500)
"""Between air outside the lung and what is mostly tissue."""

NEAR_MM = 5.0
"""How far about an outline's rectangle lung is looked for."""

LUNG_PART = 0.05
"""The part of that area which is lung at least: 99.9 % of 11 323 crops of LIDC-IDRI have 7 % or
more, half of them 74 %."""


@dataclass(frozen=True, eq=False)
class SeriesCrops:
    """The crops of one series, and the outlines without one."""

    nodules: tuple[Nodule, ...]
    crops: tuple[Crop, ...]
    """By nodule, then from the caudal end."""
    window: Window
    """(centre, width) in HU of the crops' gray values."""
    missing: dict[str, float | None]
    """Outlined slices that the series does not hold: SOP instance UID -> z in mm, if known."""
    unenclosed: int
    """Outlines left out because no pixel is enclosed by half of the slice's readers."""
    warnings: tuple[str, ...]
    """What is unusual about the series, its marks and its pixels."""


def crop_series(scan: Scan, window: Window | None, rule: str = PAPER) -> SeriesCrops:
    """Cut every nodule out of every slice on which a reader outlined it.

    A crop follows the area that at least half of the slice's readers enclosed.

    Args:
        scan: the slices and the readers' marks on them.
        window: (centre, width) in HU, or None for the one in the series' header.
        rule: one of :data:`~lungdx_paddle.manifest.CROP_RULES`.

    Raises:
        LidcError: a slice cannot be read, the header has no window, or the values are no HU
            (:func:`~lungdx_paddle.lidc.pixels.air_warnings`).
    """
    series = scan.series
    window = window or header_window(series)
    missing = {
        uid: nodule.z_mm.get(uid)
        for nodule in scan.nodules
        for uid in nodule.sop_uids
        if series.index_of(uid) is None
    }
    regions = [region_of(series, nodule) for nodule in scan.nodules]
    cut_out, warnings = crop_regions(series, regions, window, rule)
    nodules = {nodule.number: nodule for nodule in scan.nodules}
    crops = [
        Crop(
            nodules[crop.region.number],
            series.sop_uids[crop.index],
            crop.index,
            float(series.z_mm[crop.index]),
            crop.image,
            crop.scale,
            rule,
        )
        for crop in cut_out
    ]
    outlined = sum(uid not in missing for nodule in scan.nodules for uid in nodule.sop_uids)
    told = (*scan.warnings, *warnings)
    return SeriesCrops(scan.nodules, tuple(crops), window, missing, outlined - len(crops), told)


@dataclass(frozen=True, eq=False)
class RegionCrop:
    """One region on one slice."""

    region: Region
    index: int
    """Of the slice."""
    image: np.ndarray
    """(32, 32) uint8."""
    scale: float
    """1.0, or the factor by which the nodule was shrunk."""
    mean_hu: float
    """Of the region's pixels on the slice."""


def crop_regions(
    series: Series, regions: Sequence[Region], window: Window, rule: str
) -> tuple[list[RegionCrop], list[str]]:
    """Cut every region out of every slice that it has pixels on.

    Each slice is read once and let go, so that memory does not grow with the series.

    Args:
        series: that of the regions.
        regions: any.
        window: (centre, width) in HU.
        rule: one of :data:`~lungdx_paddle.manifest.CROP_RULES`.

    Returns:
        The crops by region, then from the caudal end; and what is doubtful about the pixels.

    Raises:
        LidcError: as :func:`crop_series`.
    """
    on_slice: dict[int, list[int]] = {}
    for k, region in enumerate(regions):
        for index in region.areas:
            on_slice.setdefault(index, []).append(k)
    spacing_mm = series.spacing_zyx_mm[1:]
    air = int(apply_window(np.array(AIR_HU), *window))
    crops: list[tuple[int, RegionCrop]] = []
    darkest: dict[int, int] = {}
    in_lung = 0
    for index, numbers in sorted(on_slice.items()):
        hu = series.slice_hu(index)
        darkest[index] = darkest_hu(series.slices[index], hu)
        gray = apply_window(hu, *window)
        for k in numbers:
            mask = regions[k].mask(index)
            image, scale = make_crop(gray, mask, spacing_mm, rule, air)
            mean_hu = float(hu[mask].mean())
            crops.append((k, RegionCrop(regions[k], index, image, scale, mean_hu)))
            in_lung += _is_near_lung(hu, mask, spacing_mm)
    crops.sort(key=lambda pair: (pair[0], pair[1].index))
    warnings: list[str] = []
    for has_rescale in (False, True):
        lowest = [d for i, d in darkest.items() if series.slices[i].has_rescale == has_rescale]
        warnings += air_warnings(series.series_uid, lowest, has_rescale)
    if 2 * in_lung < len(crops):
        warnings.append(
            f"only {in_lung} of {count_of(len(crops), 'crop')} lie in or at the lung: "
            "the marks may not belong to these pixels"
        )
    warnings += shape_warnings(spacing_mm, rule)
    return [crop for _, crop in crops], warnings


def shape_warnings(spacing_mm: tuple[float, float], rule: str) -> tuple[str, ...]:
    """See whether crops by a rule show the shape of what they are cut from."""
    if rule != PAPER or math.isclose(*spacing_mm, rel_tol=OBLONG):
        return ()
    rows_mm, columns_mm = spacing_mm
    return (
        f"pixels of {rows_mm:.4g} mm between rows and {columns_mm:.4g} mm between columns: "
        "crops of the rule paper are squeezed",
    )


def _is_near_lung(hu: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float]) -> bool:
    """Whether an outline lies in lung, or at its edge; all nodules that are marked do."""
    sides = (
        slice(max(side.start - margin, 0), side.stop + margin)
        for side, margin in zip(rectangle(mask), (round(NEAR_MM / mm) for mm in spacing_mm))
    )
    part = hu[tuple(sides)]
    return bool(((part > LUNG_RANGE_HU[0]) & (part < LUNG_RANGE_HU[1])).mean() >= LUNG_PART)


def header_window(series: Series) -> Window:
    """(centre, width) in HU of a series' DICOM header.

    Raises:
        LidcError: it has none.
    """
    if series.header_window is None:
        raise LidcError(
            f"series {series.series_uid}",
            expected="a window in the DICOM header",
            found="none",
            fix="give a window in HU, such as 20,2040",
        )
    return series.header_window
