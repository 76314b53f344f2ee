"""Pictures of a nodule: a slice through a window, its outlines, what speaks for an answer."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.preprocess.crop import cut, middle_of, rectangle
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
    """The patient's at the left, R or L, and at the top, A or P."""
    outlines_mm: list[np.ndarray]
    """(n, 2) x, y each, closed: the region's."""
    frame_mm: tuple[float, float, float, float]
    """x, y, width and height of the close-up."""


def whole_slice(region: Region, hu: np.ndarray, window: Window) -> View:
    """The middle slice of a region, whose pixels are ``hu``."""
    return _view(region, hu, window, (0, 0), (hu.shape[0], hu.shape[1]))


def close_up(region: Region, hu: np.ndarray, window: Window) -> View:
    """What surrounds a region on its middle slice, whose pixels are ``hu``."""
    return _view(region, hu, window, *_square(region))


def _view(
    region: Region,
    hu: np.ndarray,
    window: Window,
    corner_xy: tuple[int, int],
    shape: tuple[int, int],
) -> View:
    _, row_mm, column_mm = region.series.spacing_zyx_mm
    scale = np.array([column_mm, row_mm])
    (x, y), (rows, columns) = _square(region)
    outlines = [(edge - corner_xy) * scale for edge in edges(region.mask(region.middle))]
    along_rows_x, _, _, _, along_columns_y, _ = region.series.slices[region.middle].orientation
    return View(
        png(cut(apply_window(hu, *window), corner_xy, shape)),
        width_mm=shape[1] * column_mm,
        height_mm=shape[0] * row_mm,
        sides=("R" if along_rows_x > 0 else "L", "A" if along_columns_y > 0 else "P"),
        outlines_mm=outlines,
        frame_mm=(
            (x - corner_xy[0]) * column_mm,
            (y - corner_xy[1]) * row_mm,
            columns * column_mm,
            rows * row_mm,
        ),
    )


def _square(region: Region) -> tuple[tuple[int, int], tuple[int, int]]:
    """First column and row, and (rows, columns), of the close-up of a region's middle slice."""
    _, *spacing_mm = region.series.spacing_zyx_mm
    mask = region.mask(region.middle)
    sides = [side.stop - side.start for side in rectangle(mask)]
    longest_mm = max(pixels * mm for pixels, mm in zip(sides, spacing_mm))
    side_mm = max(LEAST_SIDE_MM, longest_mm + 2 * MARGIN_MM)
    rows, columns = (round(side_mm / mm) for mm in spacing_mm)
    row, column = middle_of(mask)
    return (column - columns // 2, row - rows // 2), (rows, columns)


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
