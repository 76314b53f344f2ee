"""What an outline encloses, of one reader and of the majority."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.lidc import Nodule
from lungdx_paddle.lidc.masks import Area, majority_area, width_px

SHAPE = (64, 64)
Square = Callable[[int, int, int], list[tuple[int, int]]]


def test_the_outline_itself_is_outside(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    (nodule,) = group(xml.nodule(xml.roi(square(10, 20, 6))))
    expected = np.zeros(SHAPE, bool)
    expected[21:25, 11:15] = True
    assert np.array_equal(nodule.masks("1.1", SHAPE), [expected])
    assert np.array_equal(nodule.majority_mask("1.1", SHAPE), expected)


def test_several_outlines_add_and_exclusions_cut_out_with_their_outline(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    (nodule,) = group(
        xml.nodule(
            xml.roi(square(14, 14, 4), inclusion="FALSE"),  # before what it is cut from
            xml.roi(square(10, 10, 12)),
            xml.roi(square(40, 10, 5)),
            xml.roi([(12, 12)], inclusion="FALSE"),
            xml.roi([(60, 60)]),  # a point encloses nothing
        )
    )
    expected = np.zeros(SHAPE, bool)
    expected[11:21, 11:21] = True
    expected[14:18, 14:18] = False
    expected[12, 12] = False
    expected[11:14, 41:44] = True
    assert np.array_equal(nodule.masks("1.1", SHAPE)[0], expected)


def test_half_of_the_readers_of_the_slice_are_enough(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    low = xml.roi(square(10, 10, 12), sop="1.1", z="0")
    wide, narrow = xml.roi(square(10, 10, 12), "1.2", "2"), xml.roi(square(12, 12, 6), "1.2", "2")
    (nodule,) = group(
        xml.nodule(low, wide), xml.nodule(low, narrow), xml.nodule(low), xml.nodule(low)
    )
    assert nodule.readers_on("1.2") == 2
    assert nodule.majority_mask("1.2", SHAPE).sum() == 100  # one of two drew it wide
    (nodule,) = group(xml.nodule(wide), xml.nodule(narrow), xml.nodule(narrow))
    assert nodule.majority_mask("1.2", SHAPE).sum() == 16


def test_what_lies_outside_the_slice_is_cut_off(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    (nodule,) = group(
        xml.nodule(xml.roi(square(60, 58, 12))), xml.nodule(xml.roi(square(66, 66, 6)))
    )
    assert nodule.masks("1.1", SHAPE).sum(axis=(1, 2)).tolist() == [15, 0]
    assert nodule.majority_mask("1.1", SHAPE).sum() == 15


def test_areas_of_different_places_are_voted_on_together() -> None:
    one, other = (Area(corner, np.ones((2, 2), bool)) for corner in ((0, 0), (1, 1)))
    both = majority_area([one, other, other])
    assert both.corner_xy == (0, 0)
    assert both.mask((4, 4)).sum() == 4
    assert not majority_area([]).mask((4, 4)).any()


@pytest.mark.parametrize(("pixels", "width"), [((1, 1), 1.0), ((1, 5), 5.0), ((4, 5), 6.0)])
def test_the_width_of_an_area_is_its_longest_diagonal(
    pixels: tuple[int, int], width: float
) -> None:
    assert width_px(Area((7, 7), np.ones(pixels, bool))) == width
    assert width_px(Area((7, 7), np.zeros(pixels, bool))) == 0
