"""A ball or an outline that a user draws is the region that it shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.locate import one_series
from lungdx_paddle.lidc import Series
from lungdx_paddle.serving.web.marks import Ball, Mark, region_of_mark


@pytest.fixture(scope="module")
def series(ct: Path) -> Series:
    return one_series(ct)[0]


def ball(x: float, y: float, index: int, radius_mm: float) -> Mark:
    return Mark(ball=Ball(place=(x, y, index), radius_mm=radius_mm))


def test_a_ball_has_its_volume_and_place(series: Series) -> None:
    region = region_of_mark(series, ball(40, 50, 4, 11.0), 3)
    assert region.origin == "drawn" and region.number == 3
    assert list(region.areas) == [1, 2, 3, 4, 5, 6, 7]  # 3 mm apart
    assert region.place_px == pytest.approx((40, 50, 4), abs=0.1)
    assert region.diameter_mm == pytest.approx(22, rel=0.15)
    assert region.volume_mm3 == pytest.approx(4 / 3 * np.pi * 11**3, rel=0.1)


def test_the_smallest_ball_is_a_pixel_also_at_the_edge(series: Series) -> None:
    slices, rows, columns = series.shape_zyx
    for place in ((0.4, 0.4, 0), (columns - 0.4, rows - 0.4, slices - 1)):
        region = region_of_mark(series, ball(*place, 0.01), 1)
        assert [int(area.pixels.sum()) for area in region.areas.values()] == [1]
        assert region.place_px[:2] in ((0, 0), (columns - 1, rows - 1))


def test_outlines_that_are_sent_back_are_the_same_region(series: Series) -> None:
    before = region_of_mark(series, ball(40, 50, 4, 11.0), 1)
    drawn = {index: [line.tolist() for line in before.outlines(index)] for index in before.areas}
    again = region_of_mark(series, Mark(outlines=drawn), 1)
    for index in range(series.shape_zyx[0]):
        assert (again.mask(index) == before.mask(index)).all()


def test_an_outline_replaces_that_of_its_slice_alone(series: Series) -> None:
    before = region_of_mark(series, ball(40, 50, 4, 4.0), 1)
    square = [(10.0, 20.0), (13.0, 20.0), (13.0, 23.0), (10.0, 23.0)]
    after = region_of_mark(series, Mark(outlines={4: [square], 5: []}), 1, before)
    assert list(after.areas) == [3, 4]
    assert after.mask(4).sum() == 16 and after.mask(4)[20:24, 10:14].all()
    assert (after.mask(3) == before.mask(3)).all()


@pytest.mark.parametrize(
    ("mark", "found"),
    [
        (ball(128, 5, 4, 3), "the circle: expected a middle in the CT"),
        (ball(5, 5, 10, 3), "the circle: expected a middle in the CT"),
        (ball(5, 5, 4, 101), "a radius of up to 100 mm"),
        (ball(5, 5, 4, 0), "a radius of up to 100 mm"),
        (
            Mark(outlines={10: [[(1, 1)]]}),
            "slice 10: expected points within 128x128",
        ),
        (Mark(outlines={-1: [[(1, 1)]]}), "the outline on slice -1"),
        (Mark(outlines={1: [[(1, 128)]]}), "found one outside"),
        (Mark(outlines={1: [[(-1, 5)]]}), "found one outside"),
        (Mark(outlines={1: [[]]}), "found one outside"),
        (Mark(outlines={}), "the outlines: expected one on one slice at least"),
        (Mark(outlines={4: []}), "the outlines: expected one on one slice at least"),
        (Mark(point=(128, 5, 4)), "a point outside the CT"),
    ],
)
def test_a_mark_that_encloses_nothing_of_the_ct_is_refused(
    series: Series, mark: Mark, found: str
) -> None:
    with pytest.raises(LidcError, match=found):
        region_of_mark(series, mark, 1)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"point": (1, 1, 1), "outlines": {}},
        {"point": (1, 1, 1), "more": 1},
        {"point": (float("nan"), 1, 1)},
        {"ball": {"place": (1, 1, 1), "radius_mm": float("inf")}},
        {"point": (1, 1, 1.5)},
    ],
)
def test_a_mark_is_one_of_three_and_of_numbers(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Mark.model_validate(given)
