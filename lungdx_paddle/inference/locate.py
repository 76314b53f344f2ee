"""Where a nodule is in a CT: the series that is meant, and the region that a mark stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.grow import REACH_MM, grow
from lungdx_paddle.inference.points import NamedPoint
from lungdx_paddle.lidc import Annotations, Nodule, Scan, Series, Skipped, find_series
from lungdx_paddle.lidc.pixels import air_warnings, darkest_hu
from lungdx_paddle.lidc.regions import Region, area_of, patient_mm, pixel_at, region_of
from lungdx_paddle.preprocess.report import check_found
from lungdx_paddle.words import count_of

Point = tuple[float, float, int]
"""Column and row of a pixel, from 0, and the slice's index, from 0 at the caudal end."""

MOST_LISTED = 8
"""Series that an error lists; a study has a handful."""

SLICES_KEPT = 128
"""In memory, of a series with several points: 64 MB."""

FINEST_MM = 0.2
"""Of voxels that a nodule is grown in: a quarter of the finest CT's, half a second a point."""

NOT_IN_BOX = "nothing denser than lung in the middle of the box"

HARMLESS = ("no DICOM file", "no CT slice", "a localizer")
"""How the reasons begin for which a file beside a series is left out without a warning."""


def one_series(folder: Path, uid: str = "", described: str = "") -> tuple[Series, tuple[str, ...]]:
    """The axial CT series of a folder that is meant, and what is unusual about it.

    Args:
        folder: folder or zip archive of DICOM files.
        uid: its series instance UID, or the end of it that no other one has; empty: the folder
            holds one series.
        described: name of the file of marks that names the UID; empty: the user does.

    Returns:
        The series, and the warnings of the series and of the files that were left out.

    Raises:
        LidcError: it is not there, several fit, or its slices are not axial.
    """
    found, skipped = find_series(folder)
    fix = "give the folder or the zip archive of a CT"
    check_found(folder, found, skipped, expected="the slices of a CT series", fix=fix)
    fitting = [series for series in found if series.series_uid == uid]
    if not (fitting or described):
        fitting = [series for series in found if series.series_uid.endswith(uid)]
    if len(fitting) != 1:
        expected, fix, other = "one CT series", "choose one by --series-uid UID", ""
        if described:
            expected, other = f"the series {uid} that {described} describes", "other "
            fix = f"give the folder of the CT that {described} was made for, or {fix}"
        elif uid:
            expected = f"one series whose UID is, or ends in, {uid}"
        few = fitting or found
        listed = "; ".join(map(_described, few[:MOST_LISTED]))
        more = f"; and {len(few) - MOST_LISTED} more" if len(few) > MOST_LISTED else ""
        there = f"{len(few)} {other}series: {listed}{more}"
        raise LidcError(str(folder), expected=expected, found=there, fix=fix)
    (series,) = fitting
    if series.plane != "axial":
        raise LidcError(
            f"series {series.series_uid}",
            expected="axial slices, the only ones that the model knows",
            found=f"{series.plane} ones, of a reformatted series",
            fix="give the axial series of the study",
        )
    return series, (*series.warnings, *left_out(skipped))


def _described(series: Series) -> str:
    slices, rows, columns = series.shape_zyx
    step_mm = series.spacing_zyx_mm[0]
    return (
        f"{series.series_uid} ({slices} {series.plane} slices of {columns}x{rows} pixels, "
        f"{step_mm:.4g} mm apart)"
    )


def left_out(skipped: Sequence[Skipped]) -> list[str]:
    """A warning of files that may be slices: without them the others are counted wrongly."""
    damaged = [file for file in skipped if not file.reason.startswith(HARMLESS)]
    if not damaged:
        return []
    first = f"such as {Path(damaged[0].path).name}: {damaged[0].reason}"
    return [f"{count_of(len(damaged), 'file')} beside the slices left out, {first}"]


def regions_of_readings(
    series: Series, annotations: Annotations
) -> tuple[list[Region], tuple[str, ...]]:
    """The nodules that LIDC's readers outlined, and how the marks do not fit the series.

    A nodule none of whose slices is there, or has an enclosed pixel, has no areas, and
    ``about["reason"]`` says why.
    """
    scan = Scan(series, annotations)
    regions = [_of_nodule(series, nodule) for nodule in scan.nodules]
    return regions, tuple(w for w in scan.warnings if w not in series.warnings)


def _of_nodule(series: Series, nodule: Nodule) -> Region:
    """A nodule's region with what is doubtful about it."""
    region = region_of(series, nodule)
    outlined = len(nodule.sop_uids)
    missing = sum(series.index_of(uid) is None for uid in nodule.sop_uids)
    empty = outlined - missing - len(region.areas)
    doubts = []
    if missing:
        doubts.append(f"{missing} of {outlined} outlined slices are not in the series")
    if empty:
        doubts.append(
            f"on {empty} of {outlined} outlined slices no pixel is enclosed by most readers"
        )
    about = dict(region.about) | ({"missing_slices": missing} if missing else {})
    if not region.areas:
        none = f"none of its {outlined} outlined slices is in the series"
        reason = none if missing == outlined else "; ".join(doubts)
        about["reason"] = reason if outlined else "its outlines enclose no pixel"
        doubts = []
    rows, columns = series.shape_zyx[1:]
    points = np.concatenate([c.points_xy for r in nodule.readings for c in r.contours])
    if (points >= (columns, rows)).any():
        x, y = points.max(axis=0)
        doubts.append(f"outlines reach pixel {x},{y}, off the slices of {columns}x{rows} pixels")
    return replace(region, doubts=tuple(doubts), about=about)


def regions_of_points(series: Series, points: Sequence[Point]) -> list[Region]:
    """The nodule around each point, in three dimensions, numbered as the points.

    Where nothing is denser than lung a region has no areas, and ``about["reason"]`` says why.

    Raises:
        LidcError: a point lies outside the series, a slice cannot be read, or the values are no
            HU (:func:`~lungdx_paddle.lidc.pixels.air_warnings`).
    """
    for point in points:
        _check_inside(series, point)
    if min(series.spacing_zyx_mm) < FINEST_MM:
        raise LidcError(
            f"series {series.series_uid}",
            expected=f"voxels of at least {FINEST_MM:g} mm, to grow a nodule from a point",
            found=" x ".join(f"{mm:.3g}" for mm in series.spacing_zyx_mm) + " mm",
            fix="outline the nodule in a SEG or an RTSTRUCT, or give a coarser series",
        )
    slice_hu = lru_cache(SLICES_KEPT)(series.slice_hu)
    regions = []
    for number, (x, y, index) in enumerate(points):
        slice_ = series.slices[index]
        darkest = darkest_hu(slice_, slice_hu(index))
        air_warnings(series.series_uid, [darkest], slice_.has_rescale)
        reach = math.ceil(REACH_MM / series.spacing_zyx_mm[0])
        first, last = max(0, index - reach), min(len(series.slices) - 1, index + reach)
        volume_hu = np.stack([slice_hu(i) for i in range(first, last + 1)])
        found = grow(volume_hu, (index - first, y, x), series.spacing_zyx_mm)
        areas = {first + k: area for k, mask in enumerate(found.mask) if (area := area_of(mask))}
        about: dict[str, Any] = {"distance_mm": round(found.distance_mm, 1)}
        doubts: tuple[str, ...] = found.doubts
        if not areas:
            about, doubts = {"reason": "; ".join(doubts)}, ()
        regions.append(Region(series, number, areas, "point", "", doubts, about))
    return regions


def regions_of_places(series: Series, places: Sequence[NamedPoint]) -> list[Region]:
    """As :func:`regions_of_points`, of places in mm, with their names.

    Raises:
        LidcError: a place lies outside the series.
    """
    points = [pixel_at(series, place.place_mm) for place in places]
    for place, (x, y, index) in zip(places, points):
        (nearest,) = patient_mm(series.slices[index], np.array([[x, y]]))
        off_mm = float(np.linalg.norm(nearest - place.place_mm))
        if off_mm > series.spacing_zyx_mm[0]:
            raise LidcError(
                "point " + ",".join(f"{mm:g}" for mm in place.place_mm),
                expected=f"a place in the CT, whose slices lie from {series.z_mm[0]:g} to "
                f"{series.z_mm[-1]:g} mm",
                found=f"one that is {off_mm:.0f} mm off the nearest slice",
                fix="give x,y,z in mm in the patient's coordinates (DICOM: left, back, head)",
            )
    regions = regions_of_points(series, points)
    return [replace(region, name=place.name) for region, place in zip(regions, places)]


def regions_of_boxes(series: Series, boxes: Sequence[tuple[float, ...]]) -> list[Region]:
    """The nodule at the middle of each box, and within it.

    Args:
        series: the CT.
        boxes: first and last column, row and slice of each: x0, y0, slice0, x1, y1, slice1.

    Raises:
        LidcError: the middle of a box lies outside the series.
    """
    regions = []
    for number, box in enumerate(boxes):
        first, last = np.sort(np.reshape(box, (2, 3)), axis=0)
        middle = (first + last) / 2
        point = float(middle[0]), float(middle[1]), math.floor(middle[2])
        (region,) = regions_of_points(series, [point])
        areas = {}
        for index in region.areas:
            mask = region.mask(index)
            rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
            inside = (columns >= first[0]) & (columns <= last[0])
            area = area_of(mask & inside & (rows >= first[1]) & (rows <= last[1]))
            if area and first[2] <= index <= last[2]:
                areas[index] = area
        about = region.about if areas else {"reason": "; ".join(region.doubts) or NOT_IN_BOX}
        about = {name: value for name, value in about.items() if name != "distance_mm"}
        regions.append(replace(region, number=number, areas=areas, origin="box", about=about))
    return regions


def _check_inside(series: Series, point: Point) -> None:
    (x, y, index), (slices, rows, columns) = point, series.shape_zyx
    if not (0 <= x < columns and 0 <= y < rows and 0 <= index < slices):
        raise LidcError(
            f"point {x:g},{y:g},{index}",
            expected=f"x below {columns}, y below {rows} and a slice below {slices}, all from 0",
            found="a point outside the CT",
            fix="give x,y,slice_index in pixels, the slice counted from the caudal end",
        )
