"""The whole way for one CT: series and marked nodules -> what a model says of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.predictor import Predictor, as_finding
from lungdx_paddle.lidc import Scan, Series, find_series, read_annotations
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.preprocess.crop import crop_nodule, nodule_pixels
from lungdx_paddle.preprocess.series import crop_series
from lungdx_paddle.preprocess.window import apply_window

Point = tuple[float, float, int]
"""Column and row of a pixel, from 0, and the slice's index, from 0 at the foot."""


@dataclass(frozen=True, eq=False)
class _Marked:
    """One nodule: its crops, and where its middle lies."""

    images: np.ndarray
    """(slices, 32, 32) uint8."""
    place_mm: tuple[float, float, float]


def of_readings(predictor: Predictor, folder: Path, xml: Path) -> Iterator[dict[str, Any]]:
    """A finding for each nodule that an LIDC XML file outlines in a CT.

    Args:
        predictor: the model.
        folder: the DICOM files; other series in it are left alone.
        xml: the readers' marks.

    Returns:
        ``{"series_uid", "nodule", "slices", "place_mm": [x, y, z], task: ...}``; the
        probabilities are the mean over the nodule's slices, the place is the middle of
        its outlined slices in the patient's coordinates.

    Raises:
        LidcError: the series that the XML describes is not there, or a file is bad.
    """
    annotations = read_annotations(xml)
    series = _series_named(annotations.series_uid, folder, xml)
    crops = crop_series(Scan(series, annotations), predictor.window).crops
    for number in sorted({crop.nodule.number for crop in crops}):
        own = [crop for crop in crops if crop.nodule.number == number]
        middle = own[len(own) // 2]
        mask = middle.nodule.majority_mask(series.sop_uids[middle.index], series.shape_zyx[1:])
        images = np.stack([crop.image for crop in own])
        marked = _Marked(images, _place_mm(series, middle.index, mask))
        yield _finding(predictor, series, number, marked)


def of_points(
    predictor: Predictor, folder: Path, points: Sequence[Point]
) -> Iterator[dict[str, Any]]:
    """A finding for the bright area at each point of a CT, on that slice alone.

    The nodule is taken as Otsu's foreground at the point in the 32x32 pixels around it; one
    that touches the wall or a vessel takes some of that with it.

    Raises:
        LidcError: the folder holds no CT series or several, or a point lies outside.
    """
    series = _only_series(folder)
    for number, point in enumerate(points):
        x, y, index = _inside(series, point)
        gray = apply_window(series.slice_hu(index), *predictor.window)
        mask = _area_at(gray, round(x), round(y))
        image, _ = crop_nodule(gray, mask)
        marked = _Marked(image[np.newaxis], _place_mm(series, index, mask))
        yield _finding(predictor, series, number, marked)


def _finding(predictor: Predictor, series: Series, number: int, marked: _Marked) -> dict[str, Any]:
    mean = {t: p.mean(axis=0) for t, p in predictor.probabilities(marked.images).items()}
    return {
        "series_uid": series.series_uid,
        "nodule": number,
        "slices": len(marked.images),
        "place_mm": [round(value, 2) for value in marked.place_mm],
        **{t: as_finding(t, classes, mean[t]) for t, classes in predictor.tasks.items()},
    }


def _place_mm(series: Series, index: int, mask: np.ndarray) -> tuple[float, float, float]:
    """Middle of a slice's mask in patient coordinates (DICOM PS3.3 C.7.6.2.1.1)."""
    slice_ = series.slices[index]
    row, column = np.argwhere(mask).mean(axis=0)
    between_rows, between_columns = slice_.pixel_spacing_mm
    along_row = np.array(slice_.orientation[:3]) * column * between_columns
    along_column = np.array(slice_.orientation[3:]) * row * between_rows
    x, y, z = np.array(slice_.position_mm) + along_row + along_column
    return float(x), float(y), float(z)


def _area_at(gray: np.ndarray, x: int, y: int) -> np.ndarray:
    """The bright area nearest to a pixel, within 32x32 pixels around it."""
    top = min(max(y - CROP_SIZE // 2, 0), gray.shape[0] - CROP_SIZE)
    left = min(max(x - CROP_SIZE // 2, 0), gray.shape[1] - CROP_SIZE)
    square = slice(top, top + CROP_SIZE), slice(left, left + CROP_SIZE)
    _, labels = cv2.connectedComponents(nodule_pixels(gray[square]).astype(np.uint8))
    bright = np.argwhere(labels > 0)
    nearest = bright[np.argmin(((bright - (y - top, x - left)) ** 2).sum(axis=1))]
    mask = np.zeros(gray.shape, bool)
    mask[square] = labels == labels[tuple(nearest)]
    return mask


def _series_named(uid: str, folder: Path, xml: Path) -> Series:
    found, _ = find_series(folder)
    for series in found:
        if series.series_uid == uid:
            return series
    raise LidcError(
        str(folder),
        expected=f"the series {uid} that {xml.name} describes",
        found=_described(found),
        fix="give the folder and the XML file of one and the same CT",
    )


def _only_series(folder: Path) -> Series:
    found, _ = find_series(folder)
    if len(found) == 1:
        return found[0]
    raise LidcError(
        str(folder),
        expected="the slices of one CT series",
        found=_described(found),
        fix="give the folder of one series",
    )


def _described(found: list[Series]) -> str:
    return f"{len(found)} other series" if found else "no CT series"


def _inside(series: Series, point: Point) -> Point:
    x, y, index = point
    slices, rows, columns = series.shape_zyx
    if 0 <= x < columns and 0 <= y < rows and 0 <= index < slices:
        return point
    raise LidcError(
        f"point {x:g},{y:g},{index}",
        expected=f"x below {columns}, y below {rows} and a slice below {slices}, all from 0",
        found="a point outside the CT",
        fix="give x,y,slice_index in pixels, the slice counted from the foot",
    )


def parse_points(texts: Sequence[str]) -> list[Point]:
    """Read points written as ``x,y,slice_index``.

    Raises:
        ConfigError: one is written otherwise.
    """
    return [_parse_point(text) for text in texts]


def _parse_point(text: str) -> Point:
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
