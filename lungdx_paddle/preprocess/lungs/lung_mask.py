"""Lung mask of one CT slice: the paper's steps, corrected where they fail.

Four things go wrong with the paper's steps on real slices: gas in the gut and under the
patient's back is air as well; the dome of the liver and, where both lungs touch, the heart
are holes that get filled; closing a slice as a whole joins the lungs; and a nodule at the
wall is cut off, as it is tissue that touches tissue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.preprocess.lungs.paper_steps import (
    CLOSING_RADIUS_PX,
    air_in_body,
    area_px,
    close,
    fill,
    outlines_of,
)

GAS_HU = -960
"""An area with a lower median is gas, not lung.  On LIDC-IDRI-0001 and 0012 the lungs' medians
lie from -920 to -690 and those of gut areas of that size at -980 and below.  Emphysema begins
at -950, so a lung that is nothing but emphysema could be mistaken for gas."""

SMALLEST_LUNG_MM2 = 490.0
"""The paper's 1000 pixels, at the collection's median spacing of 0.7 mm."""

LARGEST_HOLE_MM = 40.0
"""Diameter up to which tissue in a lung may be a nodule (30 mm) or a mass; the liver's dome
and the heart are larger."""

WALL_RADIUS_MM = 20.0
"""Radius of a disc that rolls along the wall: it hardly enters the bay of a nodule, whose
diameter is at most 30 mm by LIDC-IDRI's definition.  With 25 the mask of LIDC-IDRI-0001 grows
by 0.3 %, and none of it is nodule."""

COSTAL_MM = 12.0
"""Bays on the ribs' side come this near to the convex hull of both lungs; those of heart and
vessels end deeper in."""


@dataclass(frozen=True, eq=False)
class AirArea:
    """Air inside the body that may be lung, with the vessels and small nodules in it."""

    window: tuple[slice, slice]
    """Its rows and columns of the slice."""
    mask: np.ndarray
    """uint8 of the window: 1 where it lies."""
    size_mm2: float


def lung_mask(hu: np.ndarray, pixel_spacing_mm: float) -> np.ndarray:
    """Lung parenchyma with its vessels and nodules, those at the wall too.

    On one slice alone a small tip of a lung looks like gas in the gut; for a whole series
    :func:`lungdx_paddle.preprocess.lungs.lung_volume.lung_volume` separates them.

    Args:
        hu: (rows, columns) slice in HU.
        pixel_spacing_mm: in-plane spacing, DICOM (0028,0030).

    Returns:
        (rows, columns) bool; empty where the slice shows no lung.
    """
    tissue, areas = air_areas(hu, pixel_spacing_mm, SMALLEST_LUNG_MM2)
    return lung_of(areas, tissue, pixel_spacing_mm)


def air_areas(
    hu: np.ndarray, pixel_spacing_mm: float, smallest_mm2: float
) -> tuple[np.ndarray, list[AirArea]]:
    """Areas of air in the body on one slice that may be lung: those denser than gas.

    Args:
        hu: (rows, columns) slice in HU.
        pixel_spacing_mm: in-plane spacing.
        smallest_mm2: areas under this are left out.

    Returns:
        The tissue, (rows, columns) uint8 of 0 and 1, and the areas.
    """
    tissue, _, air = air_in_body(hu)
    largest_hole_px = math.pi / 4 * (LARGEST_HOLE_MM / pixel_spacing_mm) ** 2
    areas = []
    for outline in outlines_of(air):
        size_mm2 = area_px(outline) * pixel_spacing_mm**2
        if size_mm2 < smallest_mm2:
            continue
        window = _surroundings(outline, CLOSING_RADIUS_PX + 1)
        mask = _drawn(outline, window, hu.shape)
        inside_hu = hu[window][(mask & air[window]) > 0]
        if np.median(inside_hu[::4]) < GAS_HU:  # a quarter of an area has its median
            continue
        mask = close(mask)
        mask = fill(outlines_of(mask), mask.shape)
        holes = [o for o in outlines_of(mask & tissue[window]) if area_px(o) > largest_hole_px]
        mask &= 1 - (fill(holes, mask.shape) & tissue[window])
        areas.append(AirArea(window, mask, size_mm2))
    return tissue, areas


def lung_of(areas: Sequence[AirArea], tissue: np.ndarray, pixel_spacing_mm: float) -> np.ndarray:
    """The union of areas of air with the nodules at its wall: (rows, columns) bool.

    Nodules at the wall fill bays of a lung that a disc cannot enter from the ribs' side.
    """
    air = np.zeros(tissue.shape, np.uint8)
    for area in areas:
        air[area.window] |= area.mask
    lungs = outlines_of(air)
    if not lungs:
        return air.view(bool)
    lung = air.copy()
    hull = fill([cv2.convexHull(np.concatenate(lungs))], air.shape)
    depth_mm = pixel_spacing_mm * _distance_px(hull)
    radius_px = WALL_RADIUS_MM / pixel_spacing_mm
    for outline in lungs:  # each for itself, lest a bridge join both
        window = _surroundings(outline, math.ceil(radius_px) + 1)
        filled = _drawn(outline, window, air.shape)
        # Closing by two distance transforms, whose time does not grow with the disc.
        near = (_distance_px(1 - filled) <= radius_px).view(np.uint8)
        closed = (_distance_px(near) > radius_px).view(np.uint8)
        bays = cv2.morphologyEx(closed & (1 - filled), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        costal = [
            bay
            for bay in outlines_of(bays)
            if depth_mm[window][bay[:, 0, 1], bay[:, 0, 0]].min() <= COSTAL_MM
        ]
        lung[window] |= fill(costal, filled.shape) & bays & tissue[window]
    return lung.view(bool)


def _distance_px(area: np.ndarray) -> np.ndarray:
    """(rows, columns) float32: distance to the nearest pixel outside the area."""
    return cv2.distanceTransform(area, cv2.DIST_L2, cv2.DIST_MASK_5)


def _surroundings(outline: np.ndarray, margin_px: int) -> tuple[slice, slice]:
    """Rows and columns of an outline and a margin; beyond the slice they simply end."""
    left, top, width, height = cv2.boundingRect(outline)
    rows = slice(max(top - margin_px, 0), top + height + margin_px)
    return rows, slice(max(left - margin_px, 0), left + width + margin_px)


def _drawn(outline: np.ndarray, window: tuple[slice, slice], shape: tuple[int, ...]) -> np.ndarray:
    """The filled outline in its window: (rows, columns) uint8."""
    rows, columns = (len(range(*part.indices(size))) for part, size in zip(window, shape))
    # OpenCV draws 32-bit points only.
    shifted = np.subtract(outline, (window[1].start, window[0].start), dtype=np.int32)
    return fill([shifted], (rows, columns))
