"""Slice + outline -> the 32x32 crop (paper, section on nodule images)."""

from __future__ import annotations

import cv2
import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.manifest import CROP_SIZE

SMALLEST_AREA_PX = 10
"""Bright areas of fewer pixels are specks beside the nodule (paper)."""


def crop_nodule(gray: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, float]:
    """Cut a nodule out of its slice and put it on black.

    The rectangle of the outlined area is cut; Otsu's threshold inside it tells nodule from
    lung; bright areas of under 10 pixels go, and what is not nodule turns black.  A nodule
    of more than 32 pixels is shrunk with its aspect kept.

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
    part, scale = _shrink(part)
    rows, columns = part.shape
    top, left = (CROP_SIZE - rows) // 2, (CROP_SIZE - columns) // 2
    crop = np.zeros((CROP_SIZE, CROP_SIZE), np.uint8)
    crop[top : top + rows, left : left + columns] = part
    return crop, scale


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


def _shrink(part: np.ndarray) -> tuple[np.ndarray, float]:
    rows, columns = part.shape
    scale = min(1.0, CROP_SIZE / max(rows, columns))
    if scale == 1.0:
        return part, scale
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA), scale
