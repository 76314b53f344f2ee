"""The segments of a DICOM SEG -> regions of the CT that it was drawn on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels import iter_pixels
from pydicom.uid import UID

from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.attributes import LONGEST_LO
from lungdx_paddle.lidc.masks import Area
from lungdx_paddle.lidc.regions import Region, area_of, on_slice
from lungdx_paddle.words import printable

FRACTIONAL, LABELMAP = "FRACTIONAL", "LABELMAP"
"""Kinds of SEG beside BINARY, DICOM (0062,0001)."""

HALF_A_PIXEL = 0.5
"""How far a frame's grid may drift from the slice's, from one side to the other."""

BACKGROUND = 0
"""Of a label map, whose other values are the numbers of segments; some describe it, too."""


def regions_of_seg(series: Series, seg: Dataset) -> list[Region]:
    """The regions of a SEG, by the numbers of its segments.

    A frame lies on the slice whose SOP instance UID it refers to; where it refers to none of the
    series, on the one at its position.  Its pixels are where its own position and orientation
    have them, so that a frame may be cropped or turned; without these its grid is the slice's.

    Args:
        series: the CT.
        seg: binary, fractional or label map.

    Raises:
        Exception: nearly any, of a damaged file.
    """
    described = {int(item.SegmentNumber): item for item in seg.get("SegmentSequence") or ()}
    segments = {number: item for number, item in described.items() if number != BACKGROUND}
    areas: dict[int, dict[int, Area]] = {number: {} for number in segments}
    frames, missed = dict.fromkeys(segments, 0), dict.fromkeys(segments, 0)
    for number, groups, mask in _frames(series, seg):
        if number not in segments:
            raise ValueError(f"a frame of segment {number}, which is not described")
        frames[number] += 1
        found = _placed(series, groups, mask)
        if found is None:
            missed[number] += 1
            continue
        index, there = found
        if index in areas[number]:
            there |= areas[number][index].mask(there.shape)
        area = area_of(there)
        if area is not None:
            areas[number][index] = area
    regions = []
    for number, item in sorted(segments.items()):
        off = f"{missed[number]} of {frames[number]} frames lie on no slice of the series"
        doubts = [off] if missed[number] else []
        if seg.get("SegmentationType") == FRACTIONAL:
            doubts.append("pixels of a half and more were taken of a fractional segment")
        about = {} if areas[number] else {"reason": off if missed[number] else "no pixel"}
        if UID(uid := str(item.get("TrackingUID") or "")).is_valid:
            about["tracking_uid"] = uid
        its = dict(sorted(areas[number].items()))
        name = printable(str(item.get("SegmentLabel") or "")[:LONGEST_LO])
        regions.append(
            Region(series, number, its, "SEG", name, tuple(doubts) if its else (), about)
        )
    return regions


def _frames(series: Series, seg: Dataset) -> Iterator[tuple[int, list[Dataset], np.ndarray]]:
    """(segment, functional groups, (rows, columns) bool) of each frame that has a pixel."""
    rows, columns = int(seg.Rows), int(seg.Columns)
    if rows * columns > series.shape_zyx[1] * series.shape_zyx[2]:
        raise ValueError(f"frames of {columns}x{rows} pixels, more than a slice of the CT has")
    per_frame = seg.get("PerFrameFunctionalGroupsSequence") or []
    shared = list(seg.get("SharedFunctionalGroupsSequence") or [])[:1]
    if len(per_frame) != int(seg.get("NumberOfFrames") or 1):
        raise ValueError(f"{seg.get('NumberOfFrames')} frames with {len(per_frame)} descriptions")
    kind = seg.get("SegmentationType")
    least = float(seg.MaximumFractionalValue) / 2 if kind == FRACTIONAL else 1.0
    for frame, pixels in zip(per_frame, iter_pixels(seg, raw=True)):
        groups = [frame, *shared]
        if kind == LABELMAP:
            for number in np.unique(pixels[pixels != BACKGROUND]).tolist():
                yield number, groups, pixels == number
        elif (mask := pixels >= least).any():
            of_segment = _item(groups, "SegmentIdentificationSequence")
            yield int(of_segment.ReferencedSegmentNumber), groups, mask


def _item(groups: list[Dataset], name: str) -> Dataset:
    """The first item of a functional group, of the frame or of all frames; empty without one."""
    found = (item for group in groups for item in group.get(name) or ())
    return next(found, Dataset())


def _placed(
    series: Series, groups: list[Dataset], mask: np.ndarray
) -> tuple[int, np.ndarray] | None:
    """The index of the slice that a frame lies on, and its pixels there; None where off it."""
    derived = groups[0].get("DerivationImageSequence") or ()
    images = (image for item in derived for image in item.get("SourceImageSequence") or ())
    source = referenced_slice(series, images)
    rows_columns = series.shape_zyx[1:]
    position = _item(groups, "PlanePositionSequence").get("ImagePositionPatient")
    directions = _item(groups, "PlaneOrientationSequence").get("ImageOrientationPatient")
    spacing_mm = _item(groups, "PixelMeasuresSequence").get("PixelSpacing")
    if not (position and directions and spacing_mm):
        return (source, mask) if source is not None and mask.shape == rows_columns else None
    (row_mm, column_mm), size = map(float, spacing_mm), np.array(mask.shape[::-1])
    ends_mm = np.diag(size * (column_mm, row_mm)) @ np.reshape(np.array(directions, float), (2, 3))
    found = on_slice(series, np.array(position, float) + [[0, 0, 0], *ends_mm], source)
    if found is None:
        return None
    index, (first, *ends) = found
    steps = (np.array(ends) - first) / size[:, None]  # a column's and a row's, in the slice's
    first, whole = np.rint(first).astype(int), np.rint(steps).astype(int)
    drift = np.abs(steps - whole) * size[:, None]
    if drift.max() > HALF_A_PIXEL or round(abs(np.linalg.det(whole))) != 1:
        own_mm = series.spacing_zyx_mm[1:]
        raise ValueError(
            f"pixels of {row_mm:.4g} x {column_mm:.4g} mm that do not lie on the CT's, of "
            f"{own_mm[0]:.4g} x {own_mm[1]:.4g} mm"
        )
    if mask.shape == rows_columns and not first.any() and (whole == np.eye(2)).all():
        return index, mask
    xy = np.argwhere(mask)[:, ::-1] @ whole + first
    if xy.min() < 0 or (xy >= rows_columns[::-1]).any():
        return None
    there = np.zeros(rows_columns, bool)
    there[xy[:, 1], xy[:, 0]] = True
    return index, there


def referenced_slice(series: Series, images: Iterable[Dataset]) -> int | None:
    """Index of the one slice that items refer to; None where there is none, or several.

    Args:
        series: the CT.
        images: items with ReferencedSOPInstanceUID, DICOM (0008,1155), and of a file of many
            frames ReferencedFrameNumber, (0008,1160).
    """
    found = set()
    for image in images:
        uid, frame = str(image.get("ReferencedSOPInstanceUID")), image.get("ReferencedFrameNumber")
        found.add(series.index_of(f"{uid}#{int(frame) - 1}" if frame else uid))
    found.discard(None)
    return found.pop() if len(found) == 1 else None
