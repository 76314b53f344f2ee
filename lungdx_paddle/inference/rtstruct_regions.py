"""The contours of a DICOM RT structure set -> regions of the CT that it was drawn on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydicom.dataset import Dataset

from lungdx_paddle.inference.seg_regions import referenced_slice
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.attributes import LONGEST_LO
from lungdx_paddle.lidc.masks import Area
from lungdx_paddle.lidc.regions import Region, area_of, on_slice
from lungdx_paddle.words import printable

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
"""Contours that enclose an area, DICOM (3006,0042); others are points and open lines."""

EDGES_AT_ONCE = 1024
"""Of a contour, which may have a million and each cross thousands of rows: 100 MB."""


def regions_of_rtstruct(series: Series, structures: Dataset) -> list[Region]:
    """The regions of an RT structure set, by the numbers of its regions of interest (ROI).

    A contour lies on the slice whose SOP instance UID it refers to, else on the nearest.  A pixel
    belongs to the ROI whose contours on the slice enclose its centre an odd number of times: a
    contour within another is a hole, as CLOSEDPLANAR_XOR has it and most programs draw, and one
    whose channel leads to a hole (keyhole) has none in the channel (DICOM PS3.3, C.8.8.6.3).

    Args:
        series: the CT.
        structures: the structure set.

    Raises:
        Exception: nearly any, of a damaged file.
    """
    rois = {int(item.ROINumber): item for item in structures.get("StructureSetROISequence") or ()}
    contours: dict[int, list[Dataset]] = {number: [] for number in rois}
    for item in structures.get("ROIContourSequence") or ():
        its = contours.setdefault(int(item.ReferencedROINumber), [])
        its += item.get("ContourSequence") or ()
    return [
        _region(series, number, rois.get(number, Dataset()), its)
        for number, its in sorted(contours.items())
    ]


def _region(series: Series, number: int, roi: Dataset, contours: Iterable[Dataset]) -> Region:
    name = printable(str(roi.get("ROIName") or "")[:LONGEST_LO])
    frame = str(roi.get("ReferencedFrameOfReferenceUID") or "")
    if frame and frame not in {s.frame_of_reference or frame for s in series.slices}:
        about = {"reason": "of another frame of reference than the series"}
        return Region(series, number, {}, "RTSTRUCT", name, about=about)
    closed = [c for c in contours if str(c.get("ContourGeometricType")).strip() in CLOSED]
    polygons: dict[int, list[np.ndarray]] = {}
    missed = 0
    for contour in closed:
        images = contour.get("ContourImageSequence") or ()
        found = on_slice(series, _points_mm(contour), referenced_slice(series, images))
        if found is None:
            missed += 1
        else:
            polygons.setdefault(found[0], []).append(found[1])
    areas: dict[int, Area] = {}
    for index, its in sorted(polygons.items()):
        area = area_of(enclosed_pixels(its, series.shape_zyx[1:]))
        if area is not None:
            areas[index] = area
    off = f"{missed} of {len(closed)} contours lie on no slice of the series"
    reason = off if missed else "its contours enclose no pixel" if closed else "no closed contour"
    doubts = (off,) if missed and areas else ()
    about = {} if areas else {"reason": reason}
    return Region(series, number, areas, "RTSTRUCT", name, doubts, about)


def _points_mm(contour: Dataset) -> np.ndarray:
    """(n, 3) x, y, z of a contour, read at once: pydicom takes 2 s for a million numbers."""
    element = contour.get_item("ContourData")
    value = b"" if element is None else element.value
    texts = value.decode("ascii").split("\\") if isinstance(value, bytes) else list(value or ())
    points_mm = np.array([float(text) for text in texts]).reshape(-1, 3)
    if not len(points_mm) or not np.isfinite(points_mm).all():
        raise ValueError("a contour without points, or with one that is not finite")
    return points_mm


def enclosed_pixels(polygons: Iterable[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie within an odd number of polygons.

    Args:
        polygons: (n, 2) column, row each, of any precision; closed from the last to the first.
        shape: (rows, columns) of the slice.

    Returns:
        ``shape`` bool.
    """
    rows, columns = shape
    crossed = np.zeros((rows, columns + 1), bool)
    for polygon in polygons:
        ends = np.stack([polygon, np.roll(polygon, -1, axis=0)], axis=1)
        for k in range(0, len(ends), EDGES_AT_ONCE):
            (x, y), (next_x, next_y) = ends[k : k + EDGES_AT_ONCE].transpose(1, 2, 0)
            first, end = np.clip(np.ceil(np.sort([y, next_y], axis=0)), 0, rows).astype(int)
            edge = np.repeat(np.arange(len(x)), end - first)
            row = np.arange(len(edge)) - np.repeat(np.cumsum(end - first) - end, end - first)
            part = (row - y[edge]) / (next_y - y)[edge]
            column = np.clip(np.ceil(x[edge] + part * (next_x - x)[edge]), 0, columns)
            np.logical_xor.at(crossed, (row, column.astype(int)), True)
    return np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
