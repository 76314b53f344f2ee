"""Lung mask of a whole CT series: neighbouring slices decide where one is ambiguous.

At the apex and in the recesses above the diaphragm a lung ends in tips that are smaller than
a loop of gut, and air under the patient's back is as large as a lung.  Seen from the slice
where the lungs are widest, though, lung goes on from slice to slice, and the others do not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.lidc import Series
from lungdx_paddle.preprocess.lungs.lung_mask import (
    COSTAL_MM,
    SMALLEST_LUNG_MM2,
    AirArea,
    air_areas,
    lung_of,
)
from lungdx_paddle.preprocess.lungs.paper_steps import outlines_of

SMALLEST_TIP_MM2 = 20.0
"""5 mm across; less is lost in noise and in the thickness of a slice."""

SAME_LUNG = 0.3
"""The part of a tip that lies on the lung of the slice before; recesses move by their own
width in two or three slices."""


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Areas that may be lung on a slice."""

    tissue: np.ndarray
    """Eight pixels a byte: a long series has many slices."""
    large: list[AirArea]
    small: list[AirArea]


def lung_volume(series: Series) -> np.ndarray:
    """Lung parenchyma of every slice, with its vessels and nodules and without the airways.

    It starts where the lungs are widest.  From there caudally and cranially, an area of air
    is lung if it is large and touches the lung of the slice before, or if it is small,
    lies on that lung by a good part, and near the ribs.

    Args:
        series: any CT of the chest.

    Returns:
        (slices, rows, columns) bool, as ``series.volume_hu()``; 35 MB for 133 slices.

    Raises:
        LidcError: a slice cannot be read.
    """
    spacing_mm = math.sqrt(series.spacing_zyx_mm[1] * series.spacing_zyx_mm[2])
    found = []
    for index in range(len(series.slices)):
        tissue, areas = air_areas(series.slice_hu(index), spacing_mm, SMALLEST_TIP_MM2)
        large = [area for area in areas if area.size_mm2 >= SMALLEST_LUNG_MM2]
        small = [area for area in areas if area.size_mm2 < SMALLEST_LUNG_MM2]
        found.append(_Candidates(np.packbits(tissue), large, small))
    widths_mm2 = [sum(area.size_mm2 for area in candidates.large) for candidates in found]
    widest = int(np.argmax(widths_mm2))
    lung = np.zeros(series.shape_zyx, bool)
    lung[widest] = _lung(found[widest], found[widest].large, series, spacing_mm)
    for way, step in ((range(widest + 1, len(found)), 1), (range(widest - 1, -1, -1), -1)):
        for index in way:
            before, large = lung[index - step], found[index].large
            goes_on = [area for area in large if before[area.window][area.mask > 0].any()]
            goes_on += _tips(found[index].small, before, spacing_mm)
            lung[index] = _lung(found[index], goes_on, series, spacing_mm)
    return lung


def _lung(
    found: _Candidates, areas: Sequence[AirArea], series: Series, spacing_mm: float
) -> np.ndarray:
    _, rows, columns = series.shape_zyx
    tissue = np.unpackbits(found.tissue, count=rows * columns).reshape(rows, columns)
    return lung_of(areas, tissue, spacing_mm)


def _tips(areas: Sequence[AirArea], before: np.ndarray, spacing_mm: float) -> list[AirArea]:
    """Small areas on the lung of the slice before that lie at the ribs, as no bronchus does."""
    on_lung = [a for a in areas if before[a.window][a.mask > 0].mean() >= SAME_LUNG]
    if not on_lung:
        return []
    hull = cv2.convexHull(np.concatenate(outlines_of(before.view(np.uint8))))
    return [a for a in on_lung if _depth_px(a, hull) * spacing_mm <= COSTAL_MM]


def _depth_px(area: AirArea, hull: np.ndarray) -> float:
    """How far inside a hull the outermost point of an area lies; below 0 outside."""
    rows, columns = area.window
    points_xy = np.concatenate(outlines_of(area.mask))[:, 0] + (columns.start, rows.start)
    return min(cv2.pointPolygonTest(hull, (float(x), float(y)), True) for x, y in points_xy)
