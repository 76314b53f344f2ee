"""Slice and nodule mask -> the 32x32 crop, by one of two rules.

``paper``: the rectangle of the outline, thresholded by Otsu, on black (paper, section on
nodule images).  ``context``: a square of 32 mm about the nodule's middle with all that
surrounds it, 1 mm a pixel; it needs a place and no outline.
"""

from __future__ import annotations

import cv2
import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.manifest import CROP_RULES, CROP_SIZE

PAPER, CONTEXT = CROP_RULES

CROP_VERSION = 1
"""Raise it with every change that alters the bytes of a crop: crops of another version are made
again."""

SMALLEST_AREA_PX = 10
"""Bright areas of fewer pixels are specks beside the nodule (paper)."""

CONTEXT_MM = 32.0
"""Side of the square of the rule ``context``."""


def make_crop(
    gray: np.ndarray, mask: np.ndarray, spacing_mm: tuple[float, float], rule: str, air: int = 0
) -> tuple[np.ndarray, float]:
    """Cut one nodule out of its slice.

    Args:
        gray: (rows, columns) uint8 slice.
        mask: (rows, columns) bool, the nodule's pixels.
        spacing_mm: distance of the rows and of the columns, DICOM (0028,0030).
        rule: one of :data:`CROP_RULES`.
        air: gray value of what lies outside the slice, for ``context``.

    Returns:
        (32, 32) uint8, and the factor by which the nodule was shrunk: 1.0 or less; always
        1.0 by ``context``, where a pixel is 1 mm.

    Raises:
        LidcError: the mask is empty, or there is no such rule.
    """
    match rule:
        case "paper":
            return crop_nodule(gray, mask)
        case "context":
            return crop_context(gray, middle_of(mask), spacing_mm, air), 1.0
    raise LidcError(
        "crop rule", expected=" or ".join(CROP_RULES), found=repr(rule), fix="choose one of them"
    )


def crop_nodule(gray: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Cut a nodule out of its slice and put it on black: the rule ``paper``.

    The rectangle of the outlined area is cut; Otsu's threshold inside it separates nodule
    from lung; bright areas of under 10 pixels go, and what is not nodule turns black.  A
    nodule of more than 32 pixels is shrunk with its aspect kept.

    Args:
        gray: (rows, columns) uint8 slice.
        mask: (rows, columns) bool, the pixels that the readers enclosed.

    Returns:
        (32, 32) uint8 with the nodule in the middle, and the factor by which it was
        shrunk: 1.0, or less.

    Raises:
        LidcError: the mask is empty.
    """
    part = gray[rectangle(mask)]
    part = np.where(nodule_pixels(part), part, 0).astype(np.uint8)
    scale = min(1.0, CROP_SIZE / max(part.shape))
    if scale < 1.0:
        rows, columns = (max(1, round(side * scale)) for side in part.shape)
        part = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    rows, columns = part.shape
    top, left = (CROP_SIZE - rows) // 2, (CROP_SIZE - columns) // 2
    crop = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    crop[top : top + rows, left : left + columns] = part
    return crop, scale


def crop_context(
    gray: np.ndarray, middle: tuple[int, int], spacing_mm: tuple[float, float], air: int = 0
) -> np.ndarray:
    """Cut the 32 mm about a pixel, averaged to 1 mm a pixel: the rule ``context``.

    The square has whole pixels of the slice, so that a pixel of the crop is 1 mm within 2 %.

    Args:
        gray: (rows, columns) uint8 slice.
        middle: row and column of the nodule's middle.
        spacing_mm: distance of the rows and of the columns.
        air: gray value of what lies outside the slice.

    Returns:
        (32, 32) uint8.
    """
    part = cut(gray, *context_window(middle, spacing_mm), air)
    return cv2.resize(part, (CROP_SIZE, CROP_SIZE), interpolation=cv2.INTER_AREA)


def context_window(
    middle: tuple[int, int], spacing_mm: tuple[float, float]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """What :func:`crop_context` cuts: (column, row) of the first pixel, and (rows, columns)."""
    rows, columns = (max(1, round(CONTEXT_MM / distance_mm)) for distance_mm in spacing_mm)
    return (middle[1] - (columns + 1) // 2, middle[0] - (rows + 1) // 2), (rows, columns)


def middle_of(mask: np.ndarray) -> tuple[int, int]:
    """Row and column of the middle of the mask's rectangle.

    Raises:
        LidcError: the mask is empty.
    """
    rows, columns = rectangle(mask)
    return (rows.start + rows.stop) // 2, (columns.start + columns.stop) // 2


def cut(
    image: np.ndarray, corner_xy: tuple[int, int], shape: tuple[int, int], outside: int = 0
) -> np.ndarray:
    """A window of an image, which may reach over its edges.

    Args:
        image: (rows, columns) of any type.
        corner_xy: column and row of the window's first pixel; may be negative.
        shape: the window's (rows, columns).
        outside: value of what lies outside the image.
    """
    (x, y), (rows, columns) = corner_xy, shape
    window = np.full(shape, outside, image.dtype)
    part = image[max(y, 0) : max(y + rows, 0), max(x, 0) : max(x + columns, 0)]
    top, left = max(-y, 0), max(-x, 0)
    window[top : top + part.shape[0], left : left + part.shape[1]] = part
    return window


def rectangle(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns of the smallest rectangle around the mask's pixels.

    Raises:
        LidcError: the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise LidcError(
            "nodule mask",
            expected="at least one pixel",
            found="none",
            fix="leave out slices whose outlines enclose nothing",
        )
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def nodule_pixels(gray: np.ndarray) -> np.ndarray:
    """Otsu's foreground without its small areas (8-connected, under 10 pixels).

    A nodule that is smaller than that itself is not a speck: where every area is small, the
    largest stays.  A rectangle of one gray value has no threshold: all of it is nodule.

    Args:
        gray: (rows, columns) uint8.

    Returns:
        (rows, columns) bool; never empty.
    """
    _, binary = cv2.threshold(gray, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    if gray.min() == gray.max():
        return np.ones(gray.shape, bool)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(binary, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    kept: np.ndarray = areas >= min(SMALLEST_AREA_PX, int(areas.max()))
    pixels: np.ndarray = kept[labels]
    return pixels
