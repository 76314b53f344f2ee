"""The nodule at a point of a CT slice: its pixels, and what is doubtful about them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.preprocess.crop import nodule_pixels, rectangle
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

SIDES_PX = (CROP_SIZE, 48, 72, 108, 162)
"""Squares about a point that are looked at until one holds the whole area, each half as large
again: the largest is 80 to 160 mm."""

THICK = 4
"""In the larger squares only what is thicker than the square's side divided by this counts: a
mass is, and neither a vessel nor the chest wall beside it."""

ENDS = {
    "whole": "",
    "parted": "the area at the point goes on in chest wall or a vessel: it was parted from them "
    "where it becomes thin",
    "cut": "the area at the point ends nowhere within {}: it is cut off, and may be chest wall, "
    "vessel or another organ",
    "no lung": "no lung within {} about the point: no nodule can be told apart",
}
"""How the area at a point ends, the best first, and the doubt that it is told with."""

MOSTLY = 0.85
"""An area this part of which is thick is so throughout: the rest are its corners."""

LUNG_HU = -400.0
"""Half way from lung (-850) to soft tissue (40).  Where the darker part of a square is brighter
than this, no lung surrounds the point and Otsu's threshold parts noise."""

ROUND = 0.3
"""Part of the disk about an area that it fills at least: of 52 outlined slices of nodules all."""

SOFT_TISSUE_HU = -750.0, 300.0
"""Mean of a nodule, from a small one of ground glass, whose pixels are half lung, to one with
some calcium."""

AWAY_MM = 2.0
"""A point that is further from the area taken is not meant for it; a click is 1 to 2 mm off."""


@dataclass(frozen=True, eq=False)
class Area:
    """A nodule's pixels on one slice, and what is doubtful about them."""

    mask: np.ndarray
    """(rows, columns) bool."""
    distance_mm: float
    """From the point to the nearest of its pixels."""
    doubts: tuple[str, ...]
    """Sentences."""


def area_at(hu: np.ndarray, x: float, y: float, spacing_mm: tuple[float, float]) -> Area:
    """The nodule at a point of a slice: Otsu's foreground nearest to it.

    Squares of :data:`SIDES_PX` about the point are looked at until the area ends inside one.  An
    area that goes on in a vessel or the chest wall is parted from them where it is thick and they
    are thin; one that no square holds is cut off by the first square that shows lung.  Both are
    doubted.

    Args:
        hu: (rows, columns) HU.
        x: column of the point.
        y: row of the point.
        spacing_mm: distance of the rows and of the columns.
    """
    mask, end = _look_around(hu, round(y), round(x))
    away_mm = np.hypot(*((np.argwhere(mask) - (y, x)) * spacing_mm).T).min()
    distance_mm = max(0.0, float(away_mm) - max(spacing_mm) / 2)
    mean_hu = float(hu[mask].mean())
    looked_at = f"{SIDES_PX[-1]} pixels ({SIDES_PX[-1] * spacing_mm[1]:.0f} mm)"
    doubts = [ENDS[end].format(looked_at)] if ENDS[end] else []
    if not SOFT_TISSUE_HU[0] <= mean_hu <= SOFT_TISSUE_HU[1]:
        what = "lung or air" if mean_hu < 0 else "bone, calcium or contrast medium"
        doubts.append(f"the area at the point has a mean of {mean_hu:.0f} HU: {what}, no nodule")
    if mask.sum() < ROUND * np.pi / 4 * max(_size(mask)) ** 2:
        doubts.append("the area at the point is long or branched, as vessels are")
    if distance_mm > AWAY_MM:
        doubts.append(f"nothing bright at the point: the area taken is {distance_mm:.1f} mm away")
    return Area(mask, distance_mm, tuple(doubts))


def _look_around(hu: np.ndarray, row: int, column: int) -> tuple[np.ndarray, str]:
    """The area at a pixel: (rows, columns) bool, and which of :data:`ENDS` it has."""
    gray = apply_window(hu, *DEFAULT_WINDOW)
    found: dict[str, np.ndarray] = {}  # the first of each end
    for side in SIDES_PX:
        top, left = row - side // 2, column - side // 2
        square = slice(max(0, top), top + side), slice(max(0, left), left + side)
        at = row - square[0].start, column - square[1].start
        bright = nodule_pixels(gray[square])
        area, end = _nearest(bright, at), "whole"
        thick = area if max(_size(area)) <= CROP_SIZE else _thick_part(area, side // THICK, at)
        is_thick = thick.sum() >= MOSTLY * area.sum()
        if not is_thick and thick.any() and not _is_cut(thick, square, hu.shape):
            area, end = thick, "parted"
        elif not is_thick or _is_cut(area, square, hu.shape):
            end = "cut"
        if bright.all() or hu[square][~bright].mean() >= LUNG_HU:
            end = "no lung"
        if end not in found:
            found[end] = np.zeros(hu.shape, bool)
            found[end][square] = area
        if end in ("whole", "parted"):
            break
    end = next(end for end in ENDS if end in found)
    return found[end], end


def _nearest(bright: np.ndarray, pixel: tuple[int, int]) -> np.ndarray:
    """The connected area of a mask that is nearest to a pixel; empty if the mask is."""
    places = np.argwhere(bright)
    if not len(places):
        return np.zeros_like(bright)
    _, labels = cv2.connectedComponents(bright.astype(np.uint8))
    nearest = places[np.argmin(((places - pixel) ** 2).sum(axis=1))]
    area: np.ndarray = labels == labels[tuple(nearest)]
    return area


def _thick_part(area: np.ndarray, disk_px: int, pixel: tuple[int, int]) -> np.ndarray:
    """The part of an area nearest to a pixel that a disk fits into; empty where it is thin there.

    The area is taken to go on beyond the square that it was found in.
    """
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (disk_px | 1, disk_px | 1))
    beyond = np.pad(area.astype(np.uint8), disk_px, mode="edge")
    opened = cv2.morphologyEx(beyond, cv2.MORPH_OPEN, disk)[disk_px:-disk_px, disk_px:-disk_px]
    thick = _nearest(area & (opened > 0), pixel)
    away_px = [np.hypot(*(np.argwhere(part) - pixel).T) for part in (area, thick)]
    reached = len(away_px[1]) and away_px[1].min() <= away_px[0].min() + 1
    return thick if reached else np.zeros_like(area)


def _size(area: np.ndarray) -> tuple[int, int]:
    """Rows and columns of an area."""
    rows, columns = rectangle(area)
    return rows.stop - rows.start, columns.stop - columns.start


def _is_cut(area: np.ndarray, square: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Whether an area reaches an edge of its square that is none of the slice."""
    edges = []
    for axis, (part, size) in enumerate(zip(square, shape)):
        along = area if axis == 0 else area.T
        edges += [part.start > 0 and along[0].any(), part.stop < size and along[-1].any()]
    return any(edges)
