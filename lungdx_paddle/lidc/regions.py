"""The pixels of one nodule in a CT series, whoever marked them, and what is measured on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.masks import Area, width_px
from lungdx_paddle.lidc.nodules import Nodule
from lungdx_paddle.lidc.series_checks import normal_of
from lungdx_paddle.lidc.slices import Slice

ON_SLICE_MM = 0.1
"""How far points that were drawn on a slice may lie from it: positions are often written with one
decimal, and slices lie 0.5 mm apart or more."""


@dataclass(frozen=True, eq=False)
class Region:
    """The pixels of one nodule in a CT series: a region of interest (ROI)."""

    series: Series
    number: int
    """Of the nodule among those of its source."""
    areas: Mapping[int, Area]
    """{index of a slice: its pixels}, from the caudal end; no area is empty, and none may be
    there."""
    origin: str
    """What marked it: outline (of LIDC readers), point, box, SEG or RTSTRUCT."""
    name: str = ""
    """The source's own name for it: a segment's label, an ROI's or a point's name."""
    doubts: tuple[str, ...] = ()
    """What is doubtful about it: sentences."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """Values that its source gives, which count before those measured on the pixels."""

    def __repr__(self) -> str:
        slices = f"{len(self.areas)} slices of series ...{self.series.series_uid[-6:]}"
        return f"Region({self.number} by {self.origin}: {slices})"

    @property
    def middle(self) -> int:
        """Index of its middle slice."""
        return sorted(self.areas)[len(self.areas) // 2]

    def mask(self, index: int) -> np.ndarray:
        """Its pixels on a slice: (rows, columns) bool."""
        rows_columns = self.series.shape_zyx[1:]
        area = self.areas.get(index)
        return np.zeros(rows_columns, bool) if area is None else area.mask(rows_columns)

    def outlines(self, index: int) -> list[np.ndarray]:
        """The outer contours of its pixels on a slice: (n, 2) int column, row each, closed.

        The points are the outermost pixels of the region itself.
        """
        mask = self.mask(index).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return [contour[:, 0] for contour in found]

    @property
    def place_px(self) -> tuple[float, float, int]:
        """Column and row of the centre of mass of its middle slice's pixels, and that slice."""
        row, column = np.argwhere(self.mask(self.middle)).mean(axis=0)
        return float(column), float(row), self.middle

    @property
    def place_mm(self) -> tuple[float, float, float]:
        """The same place as x, y, z in the patient's coordinates."""
        x, y, index = self.place_px
        place = patient_mm(self.series.slices[index], np.array([[x, y]]))[0]
        return float(place[0]), float(place[1]), float(place[2])

    @property
    def diameter_mm(self) -> float:
        """Greatest width on one slice, from outer edge to outer edge; 0 without a slice."""
        _, row_mm, column_mm = self.series.spacing_zyx_mm
        widths = (width_px(area, column_mm / row_mm) * row_mm for area in self.areas.values())
        return max(widths, default=0.0)

    @property
    def volume_mm3(self) -> float:
        """Of its pixels, each as high as the slices lie apart."""
        pixels = sum(int(area.pixels.sum()) for area in self.areas.values())
        return float(pixels * np.prod(self.series.spacing_zyx_mm))


def region_of(series: Series, nodule: Nodule) -> Region:
    """What at least half of the readers of each slice enclosed of a nodule, as crops follow it."""
    areas = {}
    for sop_uid in nodule.sop_uids:
        index = series.index_of(sop_uid)
        if index is not None:
            area = area_of(nodule.majority_mask(sop_uid, series.shape_zyx[1:]))
            if area is not None:
                areas[index] = area
    about = {}
    if areas:
        about = {
            "diameter_mm": round(nodule.diameter_mm, 1),
            "volume_mm3": round(nodule.volume_mm3, 1),
        }
    return Region(series, nodule.number, dict(sorted(areas.items())), "outline", about=about)


def area_of(mask: np.ndarray) -> Area | None:
    """The pixels of a slice's mask within their bounding box; None where there is none.

    Args:
        mask: (rows, columns) bool.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    top, left = int(rows[0]), int(columns[0])
    return Area((left, top), mask[top : rows[-1] + 1, left : columns[-1] + 1].copy())


def patient_mm(slice_: Slice, points_xy: np.ndarray) -> np.ndarray:
    """(n, 3) x, y, z in the patient's coordinates of (n, 2) column, row of a slice.

    DICOM PS3.3, C.7.6.2.1.1; column 0 and row 0 are the middle of the first pixel.
    """
    row_mm, column_mm = slice_.pixel_spacing_mm
    along_rows, along_columns = np.reshape(slice_.orientation, (2, 3))
    xy = np.asarray(points_xy, float)
    offsets = xy[:, :1] * column_mm * along_rows + xy[:, 1:] * row_mm * along_columns
    return np.asarray(slice_.position_mm + offsets)


def sides_of(slice_: Slice) -> dict[str, str]:
    """The patient's side at the left, right, top and bottom of a slice: R, L, A, P, H or F.

    By the axis that a row's, or a column's, direction is nearest to; DICOM (0020,0037).
    """
    sides: list[str] = []
    for along in np.reshape(slice_.orientation, (2, 3)):
        axis = int(np.abs(along).argmax())
        back, ahead = (("R", "L"), ("A", "P"), ("F", "H"))[axis]
        sides += [back, ahead] if along[axis] > 0 else [ahead, back]
    return dict(zip(("left", "right", "top", "bottom"), sides))


def on_slice(
    series: Series, points_mm: np.ndarray, index: int | None = None
) -> tuple[int, np.ndarray] | None:
    """The slice that points were drawn on, and their (n, 2) column, row there.

    Args:
        series: the CT.
        points_mm: (n, 3) x, y, z in the patient's coordinates, at least one.
        index: of the slice; None: the nearest.

    Returns:
        None where a point lies farther than :data:`ON_SLICE_MM` from the slice.
    """
    points_mm = np.asarray(points_mm, float)
    if index is None:
        x, y, z = points_mm[0].tolist()
        index = pixel_at(series, (x, y, z))[2]
    points_xy, above_mm = _projected(series.slices[index], points_mm)
    return (index, points_xy) if (np.abs(above_mm) <= ON_SLICE_MM).all() else None


def _projected(slice_: Slice, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) column, row of (n, 3) x, y, z, and (n,) how far each lies from the slice's plane."""
    row_mm, column_mm = slice_.pixel_spacing_mm
    along_rows, along_columns = np.reshape(slice_.orientation, (2, 3))
    offsets = points_mm - slice_.position_mm
    points_xy = np.stack([offsets @ along_rows / column_mm, offsets @ along_columns / row_mm], 1)
    return points_xy, offsets @ np.cross(along_rows, along_columns)


def pixel_at(series: Series, place_mm: tuple[float, float, float]) -> tuple[float, float, int]:
    """Column, row and index of the nearest slice of x, y, z in the patient's coordinates.

    The place may lie outside the series, whose edge is then the nearest.
    """
    normal = normal_of(series.slices[0])
    index = int(np.abs(series.z_mm - normal @ np.array(place_mm)).argmin())
    ((x, y),), _ = _projected(series.slices[index], np.array([place_mm]))
    return float(x), float(y), index
