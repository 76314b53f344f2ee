"""Outlines on one slice -> the nodule's pixels, of one reader and of the majority."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.lidc.readings import Contour, Reading


@dataclass(frozen=True, eq=False)
class Area:
    """Mask of an area within its bounding box, and the box's place in the slice."""

    corner_xy: tuple[int, int]
    """Column and row of its first pixel, from 0."""
    pixels: np.ndarray
    """(rows, columns) bool, as large as the outlines; the area may be empty."""

    def mask(self, shape: tuple[int, int]) -> np.ndarray:
        """The area in a slice of ``shape`` (rows, columns), bool; what lies outside is cut off."""
        mask = np.zeros(shape, bool)
        x, y = self.corner_xy
        rows, columns = np.maximum(0, np.minimum(self.pixels.shape, (shape[0] - y, shape[1] - x)))
        mask[y : y + rows, x : x + columns] = self.pixels[:rows, :columns]
        return mask


def enclosed_area(contours: Sequence[Contour]) -> Area:
    """The area that one reader's contours on one slice enclose.

    The outline itself is outside the nodule: the readers marked the first pixel that
    does not belong to it (TCIA's LIDC-IDRI page, "Annotation and markup").  The areas of
    several inclusions are united; exclusions are then cut out with their outlines.  A
    contour of a single point encloses nothing; as an exclusion it removes its pixel.

    Args:
        contours: of one reader and one slice, in any order.
    """
    points = np.concatenate([np.zeros((0, 2), np.int32)] + [c.points_xy for c in contours])
    if not len(points):
        return Area((0, 0), np.zeros((0, 0), bool))
    corner_xy = points.min(axis=0)
    columns, rows = points.max(axis=0) - corner_xy + 1
    area = np.zeros((rows, columns), bool)
    for contour in sorted(contours, key=lambda c: not c.inclusion):  # inclusions first
        outline = contour.points_xy - corner_xy
        filled = np.zeros((rows, columns), np.uint8)
        if len(outline):
            cv2.fillPoly(filled, [outline], 1)
        if contour.inclusion:
            filled[outline[:, 1], outline[:, 0]] = 0
        area[filled > 0] = contour.inclusion
    return Area((int(corner_xy[0]), int(corner_xy[1])), area)


def enclosed_areas(reading: Reading, z_mm: Mapping[str, float] = {}) -> dict[float | str, Area]:
    """What a reader enclosed, by place: the slice's SOP instance UID, or its position if given.

    Places where that is nothing are left out: a single point, or a line at the tip of the
    nodule, is no outline to cut a crop from.
    """
    places: dict[float | str, list[Contour]] = {}
    for contour in reading.contours:
        places.setdefault(z_mm.get(contour.sop_uid, contour.sop_uid), []).append(contour)
    areas = {place: enclosed_area(contours) for place, contours in places.items()}
    return {place: area for place, area in areas.items() if area.pixels.any()}


def areas_by_place(
    readings: Sequence[Reading], z_mm: Mapping[str, float] = {}
) -> dict[float | str, list[Area]]:
    """By place, as in :func:`enclosed_areas`, the area of each reader who enclosed a pixel."""
    areas: dict[float | str, list[Area]] = {}
    for reading in readings:
        for place, area in enclosed_areas(reading, z_mm).items():
            areas.setdefault(place, []).append(area)
    return areas


def majority_area(areas: Sequence[Area], readers: int | None = None) -> Area:
    """The pixels that at least half of the readers enclosed on one slice.

    Args:
        areas: of the readers who enclosed something there.
        readers: how many there are in all; None: those.
    """
    if not areas:
        return Area((0, 0), np.zeros((0, 0), bool))
    corners = np.array([area.corner_xy for area in areas])
    ends = corners + [area.pixels.shape[::-1] for area in areas]
    left, top = (int(c) for c in corners.min(axis=0))
    right, bottom = ends.max(axis=0)
    votes = np.zeros((bottom - top, right - left), np.uint16)
    for (x, y), area in zip(corners - (left, top), areas):
        rows, columns = area.pixels.shape
        votes[y : y + rows, x : x + columns] += area.pixels
    return Area((left, top), 2 * votes >= (readers or len(areas)))


def width_px(area: Area, column_rows: float = 1.0) -> float:
    """Greatest distance between two pixels of an area, outer edge to outer edge; 0 if empty.

    Args:
        area: any.
        column_rows: distance of the columns, in distances of the rows, as the result is.
    """
    rows_columns = np.argwhere(area.pixels).astype(np.int32)
    if not len(rows_columns):
        return 0.0
    hull = cv2.convexHull(rows_columns)[:, 0]
    apart_px = hull[:, None] - hull[None]
    apart = np.linalg.norm(apart_px * (1.0, column_rows), axis=-1)
    # The pixels' own halves at both ends: as long as one pixel is in that direction.
    pixel = np.full_like(apart, max(1.0, column_rows))
    np.divide(apart, np.linalg.norm(apart_px, axis=-1), out=pixel, where=apart > 0)
    return float((apart + pixel).max())
