"""The lungs of a whole series: what one slice cannot tell, its neighbours do.

At the apex and in the recesses above the diaphragm a lung ends in tips that are smaller than
a loop of gut, and air under the patient's back is as large as a lung.  Seen from the slice
where the lungs are widest, though, lung goes on from slice to slice, and the others do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    """What may be lung on a slice."""

    tissue: np.ndarray
    """Eight pixels a byte: a long series has many slices."""
    areas: list[AirArea]

    @property
    def large(self) -> list[AirArea]:
        return [area for area in self.areas if area.size_mm2 >= SMALLEST_LUNG_MM2]

    @property
    def small(self) -> list[AirArea]:
        return [area for area in self.areas if area.size_mm2 < SMALLEST_LUNG_MM2]

    @property
    def large_mm2(self) -> float:
        return sum(area.size_mm2 for area in self.large)


def lung_volume(series: Series) -> np.ndarray:
    """Lung parenchyma of every slice, with its vessels and nodules and without the airways.

    It starts where the lungs are widest.  From there to the feet and to the head, an area
    of air is lung if it is large and touches the lung of the slice before, or if it is small,
    lies on that lung by a good part, and near the ribs.

    Args:
        series: any CT of the chest.

    Returns:
        (slices, rows, columns) bool, as ``series.volume_hu()``; 35 MB for 133 slices.

    Raises:
        LidcError: a slice cannot be read.
    """
    spacing_mm = series.spacing_zyx_mm[1]
    found = [_candidates(series.slice_hu(i), spacing_mm) for i in range(len(series.slices))]
    widest = max(range(len(found)), key=lambda i: found[i].large_mm2)
    lung = np.zeros(series.shape_zyx, bool)
    lung[widest] = _lung(found[widest], found[widest].large, series)
    for way, step in ((range(widest + 1, len(found)), 1), (range(widest - 1, -1, -1), -1)):
        for index in way:
            before = lung[index - step]
            goes_on = [*_touching(found[index].large, before)]
            goes_on += _tips(found[index].small, before, spacing_mm)
            lung[index] = _lung(found[index], goes_on, series)
    return lung


def _candidates(hu: np.ndarray, spacing_mm: float) -> _Candidates:
    tissue, areas = air_areas(hu, spacing_mm, SMALLEST_TIP_MM2)
    return _Candidates(np.packbits(tissue), areas)


def _lung(found: _Candidates, areas: Sequence[AirArea], series: Series) -> np.ndarray:
    _, rows, columns = series.shape_zyx
    tissue = np.unpackbits(found.tissue, count=rows * columns).reshape(rows, columns)
    return lung_of(areas, tissue, series.spacing_zyx_mm[1])


def _touching(areas: Sequence[AirArea], before: np.ndarray) -> Iterator[AirArea]:
    return (area for area in areas if before[area.window][area.mask > 0].any())


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
