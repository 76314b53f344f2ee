"""Where a nodule is in a CT: the series that is meant, and the pixels at a point."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.preprocess.crop import nodule_pixels

Point = tuple[float, float, int]
"""Column and row of a pixel, from 0, and the slice's index, from 0 at the caudal end."""


def parse_point(text: str) -> Point:
    """Read a point written as ``x,y,slice_index``.

    Raises:
        ConfigError: it is written otherwise.
    """
    try:
        x, y, index = text.split(",")
        return float(x), float(y), int(index)
    except ValueError:
        raise ConfigError(
            f"--nodule {text}",
            expected="x,y,slice_index",
            found=repr(text),
            fix="write for example --nodule 312,360,87",
        ) from None


def one_series(folder: Path, uid: str = "", xml: str = "") -> Series:
    """The CT series of a folder: the one with a UID, which an XML file names, or the only one.

    Raises:
        LidcError: it is not there, or the folder holds several.
    """
    found, _ = find_series(folder)
    fitting = [series for series in found if uid in ("", series.series_uid)]
    if fitting and (uid or len(fitting) == 1):
        return fitting[0]
    expected, fix = "the slices of one CT series", "give the folder of one series"
    if uid:
        expected = f"the series {uid} that {xml} describes"
        fix = "give the folder and the XML file of one and the same CT"
    count = f"{len(found)} {'other ' if uid else ''}series" if found else "no CT series"
    raise LidcError(str(folder), expected=expected, found=count, fix=fix)


def pixels_at(gray: np.ndarray, x: int, y: int) -> np.ndarray:
    """The nodule at a pixel: Otsu's foreground nearest to it, within 32x32 pixels around it.

    One that touches the chest wall or a vessel takes some of that with it.

    Args:
        gray: (rows, columns) uint8 slice.
        x: column of the pixel.
        y: row of the pixel.

    Returns:
        (rows, columns) bool, never empty.
    """
    top = min(max(y - CROP_SIZE // 2, 0), gray.shape[0] - CROP_SIZE)
    left = min(max(x - CROP_SIZE // 2, 0), gray.shape[1] - CROP_SIZE)
    square = slice(top, top + CROP_SIZE), slice(left, left + CROP_SIZE)
    _, labels = cv2.connectedComponents(nodule_pixels(gray[square]).astype(np.uint8))
    bright = np.argwhere(labels > 0)
    nearest = bright[np.argmin(((bright - (y - top, x - left)) ** 2).sum(axis=1))]
    mask = np.zeros(gray.shape, bool)
    mask[square] = labels == labels[tuple(nearest)]
    return mask


def place_mm(series: Series, index: int, mask: np.ndarray) -> list[float]:
    """Middle [x, y, z] of a slice's mask in patient coordinates (DICOM PS3.3 C.7.6.2.1.1)."""
    slice_ = series.slices[index]
    row, column = np.argwhere(mask).mean(axis=0)
    between_rows, between_columns = slice_.pixel_spacing_mm
    along_row = np.array(slice_.orientation[:3]) * column * between_columns
    along_column = np.array(slice_.orientation[3:]) * row * between_rows
    place = np.array(slice_.position_mm) + along_row + along_column
    return [round(float(value), 2) for value in place]
