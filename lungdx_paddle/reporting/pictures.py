"""Pictures of a nodule: a slice through a window, its outlines, what speaks for an answer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.lidc.regions import Region, sides_of
from lungdx_paddle.preprocess.crop import cut, rectangle
from lungdx_paddle.preprocess.window import NAMED_WINDOWS, Window, apply_window

LUNG: Window = NAMED_WINDOWS["lung"]
"""In which radiologists look for nodules; a model's own is three times as wide."""

MARGIN_MM = 16.0
"""About a nodule in its close-up: what it lies at, wall and vessels, can be told from it."""

LEAST_SIDE_MM = 48.0
"""Of a close-up, so that small nodules are shown at one scale."""

FINE = 4
"""Parts of a pixel that an outline is found in: it then lies on the pixels' edges, within 1/8."""

ENLARGED = 8
"""Times that a crop of 32 pixels is enlarged for its map: smooth on a screen and on paper."""

LEAST_SCALE = 0.1
"""A map's colours are full at its largest value, or at this one (of a level, or of a probability):
one that hardly moves the answer is pale."""

FOR_BGR, AGAINST_BGR = (38, 38, 214), (204, 122, 28)
"""Red and blue, which colour-blind readers tell apart."""


def png(image: np.ndarray) -> bytes:
    """A PNG of (rows, columns) gray or (rows, columns, 3) BGR uint8."""
    _, encoded = cv2.imencode(".png", image)
    return bytes(encoded)


def slice_png(hu: np.ndarray, window: Window) -> bytes:
    """A PNG of a slice through a window, a pixel a pixel.

    Args:
        hu: (rows, columns).
        window: (centre, width) in HU.

    Raises:
        LidcError: the window shows nothing of a CT.
    """
    return png(apply_window(hu, *window))


def edges(mask: np.ndarray) -> list[np.ndarray]:
    """The outer edges of a mask: (n, 2) float column, row each, closed.

    They run along the pixels' own edges: (0, 0) is the outer corner of the first pixel, as
    browsers draw it, and not its middle, as DICOM counts.
    """
    if not mask.any():
        return []
    rows, columns = rectangle(mask)
    fine = np.kron(mask[rows, columns], np.ones((FINE, FINE), bool)).astype(np.uint8)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    corner = columns.start, rows.start
    return [(contour[:, 0] + 0.5) / FINE + corner for contour in found]


@dataclass(frozen=True, eq=False)
class View:
    """A part of a slice, to be drawn in mm from its left upper corner."""

    image: bytes
    """PNG."""
    width_mm: float
    height_mm: float
    sides: tuple[str, str]
    """The patient's at the left and at the top."""
    outlines_mm: list[np.ndarray]
    """(n, 2) x, y each, closed: the region's."""
    frame_mm: tuple[float, float, float, float]
    """x, y, width and height of the close-up."""


def whole_slice(region: Region, index: int, hu: np.ndarray, window: Window) -> View:
    """A slice of a region's series, whose pixels are ``hu``."""
    return _view(region, index, apply_window(hu, *window), (0, 0))


def close_up(region: Region, index: int, hu: np.ndarray, window: Window) -> View:
    """The same, of it what surrounds the region: of each slice the same part."""
    corner_xy, shape = _square(region)
    return _view(region, index, cut(apply_window(hu, *window), corner_xy, shape), corner_xy)


def _view(region: Region, index: int, gray: np.ndarray, corner_xy: tuple[int, int]) -> View:
    """A part of a slice, whose first pixel is at column and row ``corner_xy``."""
    _, row_mm, column_mm = region.series.spacing_zyx_mm
    pixel_mm = np.array([column_mm, row_mm])
    square_xy, (rows, columns) = _square(region)
    x_mm, y_mm = (np.array(square_xy) - corner_xy) * pixel_mm
    sides = sides_of(region.series.slices[index])
    return View(
        png(gray),
        width_mm=gray.shape[1] * column_mm,
        height_mm=gray.shape[0] * row_mm,
        sides=(sides["left"], sides["top"]),
        outlines_mm=[(edge - corner_xy) * pixel_mm for edge in edges(region.mask(index))],
        frame_mm=(float(x_mm), float(y_mm), columns * column_mm, rows * row_mm),
    )


def _square(region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    """First column and row, and (rows, columns), of the close-up of a region's pixels."""
    _, *spacing_mm = region.series.spacing_zyx_mm
    first = [area.corner_xy[::-1] for area in region.areas.values()]
    last = np.add(first, [area.pixels.shape for area in region.areas.values()]).max(axis=0)
    start = np.min(first, axis=0)
    side_mm = max(LEAST_SIDE_MM, float(((last - start) * spacing_mm).max()) + 2 * MARGIN_MM)
    rows, columns = (round(side_mm / mm) for mm in spacing_mm)
    row, column = (start + last) // 2
    return (int(column) - columns // 2, int(row) - rows // 2), (rows, columns)


def full_scale(map_: np.ndarray) -> float:
    """The value at which a map's colours are full."""
    return max(LEAST_SCALE, float(np.abs(map_).max()))


def occlusion_png(crop: np.ndarray, map_: np.ndarray) -> bytes:
    """A PNG of a crop, enlarged, red where it speaks for the answer and blue where against.

    Args:
        crop: (32, 32) uint8.
        map_: (32, 32) of :func:`~lungdx_paddle.inference.occlusion.occlusion_maps`.
    """
    rows, columns = (side * ENLARGED for side in crop.shape)
    gray = cv2.resize(crop, (columns, rows), interpolation=cv2.INTER_NEAREST)
    values = cv2.resize(map_ / full_scale(map_), (columns, rows), interpolation=cv2.INTER_LINEAR)
    colour = np.where(values[..., np.newaxis] > 0, np.array(FOR_BGR), np.array(AGAINST_BGR))
    opacity = 0.75 * np.abs(values)[..., np.newaxis]
    mixed = gray[..., np.newaxis] * (1 - opacity) + colour * opacity
    return png(np.round(mixed).astype(np.uint8))
