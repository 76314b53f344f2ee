"""Where a user says that a nodule is: a point, a ball, or outlines drawn by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, model_validator

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.locate import Point, regions_of_points
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.masks import Area
from lungdx_paddle.lidc.regions import Region, area_of

DRAWN = "drawn"
"""Origin of a region that a user has drawn."""

LONGEST_RADIUS_MM = 100.0
"""Of a ball: no nodule or mass is larger."""

Polygon = Sequence[tuple[float, float]]
"""Column and row of each point."""


class Ball(BaseModel):
    """A nodule taken for a ball."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    place: Point
    radius_mm: float


class Mark(BaseModel):
    """One of three: a point in the nodule, a ball, or {slice: polygons}.

    The edges of polygons belong to the nodule.  Of a nodule that is there, its outlines on other
    slices stay; a slice without a polygon is one without the nodule.
    """

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    point: Point | None = None
    ball: Ball | None = None
    outlines: dict[int, list[list[tuple[float, float]]]] | None = None

    @model_validator(mode="after")
    def _one(self) -> Mark:
        if sum(given is not None for given in (self.point, self.ball, self.outlines)) != 1:
            raise ValueError("expected one of point, ball and outlines")
        return self


def region_of_mark(series: Series, mark: Mark, number: int, before: Region | None = None) -> Region:
    """The region that a mark stands for.

    Args:
        series: the CT.
        mark: where the nodule is.
        number: of the nodule.
        before: its region so far, whose outlines on other slices stay.

    Raises:
        LidcError: the mark lies outside the CT, or encloses nothing.
    """
    if mark.point is not None:
        (region,) = regions_of_points(series, [mark.point])
        if not region.areas:
            raise LidcError(
                "the point",
                expected="a nodule",
                found=region.about["reason"],
                fix="click in its middle, or draw a circle",
            )
        return dataclasses.replace(region, number=number)
    if mark.ball is not None:
        areas = _areas_of_ball(series, mark.ball)
    else:
        areas = _areas_of_outlines(series, mark.outlines or {}, before)
    return Region(series, number, dict(sorted(areas.items())), DRAWN)


def _areas_of_ball(series: Series, ball: Ball) -> dict[int, Area]:
    (x, y, middle), radius_mm = ball.place, ball.radius_mm
    slices, rows, columns = series.shape_zyx
    inside = 0 <= x < columns and 0 <= y < rows and 0 <= middle < slices
    if not (inside and 0 < radius_mm <= LONGEST_RADIUS_MM):
        raise LidcError(
            "the circle",
            expected=f"a middle in the CT and a radius of up to {LONGEST_RADIUS_MM:g} mm",
            found=f"{x:g},{y:g},{middle} and {radius_mm:g} mm",
            fix="draw it in the slice",
        )
    away_mm = series.z_mm - series.z_mm[middle]
    _, row_mm, column_mm = series.spacing_zyx_mm
    row, column = np.ogrid[:rows, :columns]
    square_mm2 = ((row - y) * row_mm) ** 2 + ((column - x) * column_mm) ** 2
    corner = min(round(x), columns - 1), min(round(y), rows - 1)
    areas = {middle: Area(corner, np.ones((1, 1), bool))}  # one smaller than a pixel is one
    for index in np.flatnonzero(np.abs(away_mm) <= radius_mm).tolist():
        area = area_of(square_mm2 <= radius_mm**2 - away_mm[index] ** 2)
        if area is not None:
            areas[index] = area
    return areas


def _areas_of_outlines(
    series: Series, outlines: Mapping[int, Sequence[Polygon]], before: Region | None
) -> dict[int, Area]:
    slices, rows, columns = series.shape_zyx
    areas = {} if before is None else dict(before.areas)
    for index, polygons in outlines.items():
        corners = [np.asarray(polygon, float).reshape(-1, 2) for polygon in polygons]
        inside = all(len(c) and ((c > -1) & (c < (columns, rows))).all() for c in corners)
        if not (0 <= index < slices and inside):
            raise LidcError(
                f"the outline on slice {index}",
                expected=f"points within {columns}x{rows} pixels, on one of {slices} slices",
                found="one outside",
                fix="draw it in the slice",
            )
        mask = np.zeros((rows, columns), np.uint8)
        for corner in corners:
            cv2.fillPoly(mask, [np.rint(corner).astype(np.int32)], 1)
        areas.pop(index, None)
        area = area_of(mask > 0)
        if area is not None:
            areas[index] = area
    if not areas:
        raise LidcError(
            "the outlines",
            expected="one on one slice at least",
            found="none",
            fix="draw it, or remove the nodule",
        )
    return areas
