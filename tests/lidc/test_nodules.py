"""Readings of one lesion become one nodule, with masks, ratings and measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import (
    Nodule,
    find_annotations,
    find_series,
    group_readings,
    joining,
)

SHAPE = (64, 64)
Square = Callable[[int, int, int], list[tuple[int, int]]]


def readers(nodules: Sequence[Nodule]) -> list[list[int]]:
    return [[reading.reader for reading in nodule.readings] for nodule in nodules]


@pytest.mark.parametrize("few", [joining.FEW_PAIRS, 0], ids=["one by one", "by a tree"])
def test_outlines_nearer_than_a_slice_are_one_nodule(
    group: Callable[..., list[Nodule]],
    xml: Any,
    square: Square,
    monkeypatch: pytest.MonkeyPatch,
    few: int,
) -> None:
    monkeypatch.setattr(joining, "FEW_PAIRS", few)
    here = xml.nodule(xml.roi(square(10, 10, 6)))
    near = xml.nodule(xml.roi(square(19, 10, 6)))  # 4 pixels from it, 2 mm
    far = xml.nodule(xml.roi(square(20, 10, 6)))
    assert readers(group(here, near)) == [[0, 1]]
    assert readers(group(here, far)) == [[0], [1]]
    assert readers(group(here, near, far)) == [[0, 1, 2]]  # the one between joins them


def test_outlines_on_neighbouring_slices_are_one_nodule(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    low = xml.nodule(xml.roi(square(10, 10, 6), sop="1.1", z="0"))
    next_one = xml.nodule(xml.roi(square(10, 10, 6), sop="1.2", z="2"))
    high = xml.nodule(xml.roi(square(10, 10, 6), sop="1.3", z="4"))
    assert readers(group(low, next_one)) == [[0, 1]]
    assert readers(group(low, high)) == [[0], [1]]
    assert readers(group(low, next_one, slice_mm=None)) == [[0, 1]]


def test_a_reader_is_never_twice_in_a_nodule(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    left = xml.nodule(xml.roi(square(10, 10, 8)))
    right = xml.nodule(xml.roi(square(17, 10, 8)))  # touches it
    both = left + right
    nodules = group(both, both, right, left)
    assert readers(nodules) == [[0, 1, 3], [0, 1, 2]]
    assert [n.readings[0].contours[0].points_xy[0, 0] for n in nodules] == [10, 17]


def test_nodules_are_numbered_caudal_to_cranial(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    high = xml.nodule(xml.roi(square(10, 10, 6), sop="1.1", z="80"))
    low = xml.nodule(xml.roi(square(40, 40, 6), sop="1.2", z="-80"))
    nodules = group(high + low)
    assert [nodule.number for nodule in nodules] == [0, 1]
    assert [nodule.sop_uids for nodule in nodules] == [("1.2",), ("1.1",)]


def test_a_single_wrong_position_neither_splits_nor_reorders(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    def reader(z: str) -> str:
        rois = [xml.roi(square(10, 10, 6), "1.1", z), xml.roi(square(10, 10, 6), "1.2", "2")]
        return str(xml.nodule(*rois))

    (nodule,) = group(reader("0"), reader("107.5"), reader("0"))
    assert nodule.sop_uids == ("1.1", "1.2")
    assert nodule.readers_on("1.1") == 3


def test_of_different_positions_of_a_slice_the_most_frequent_counts(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    reader = [xml.nodule(xml.roi(square(10, 10, 6), z=z)) for z in ("9", "4", "4", "9.5")]
    (nodule,) = group(*reader)
    assert nodule.z_mm == {"1.1": 4.0}


def test_slices_without_position_are_compared_with_themselves(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    one = xml.nodule(xml.roi(square(10, 10, 6), z=""))
    other = xml.nodule(xml.roi(square(40, 10, 6), z=""))
    assert readers(group(one + other, one, slice_mm=None)) == [[0, 1], [0]]


def test_slices_without_a_place_are_joined_with_no_others(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    one = xml.nodule(xml.roi(square(10, 10, 6), "1.1", z="unknown"))
    other = xml.nodule(xml.roi(square(10, 10, 6), "1.2", z="unknown"))
    at_0 = xml.nodule(xml.roi(square(10, 10, 6), "1.3", z="0"))
    nodules = group(one, other, at_0)
    assert readers(nodules) == [[2], [0], [1]]
    assert [dict(nodule.z_mm) for nodule in nodules] == [{"1.3": 0.0}] * 3
    assert [nodule.sop_uids for nodule in nodules] == [("1.3",), ("1.1",), ("1.2",)]
    assert nodules[1].volume_mm3 == nodules[0].volume_mm3 > 0


def test_the_series_says_where_a_slice_lies(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    low = xml.nodule(xml.roi(square(10, 10, 6), "1.1", z="0"))
    high = xml.nodule(xml.roi(square(10, 10, 6), "1.2", z="0"))
    assert readers(group(low, high)) == [[0, 1]]
    low_one, high_one = group(low, high, z_mm={"1.1": -100.0, "1.2": -90.0, "1.3": -80.0})
    assert (readers([low_one]), readers([high_one])) == ([[0]], [[1]])
    assert low_one.z_mm == {"1.1": -100.0, "1.2": -90.0}


def test_a_slice_that_the_series_lacks_lies_where_the_xml_has_it_beside_the_others(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    rois = [xml.roi(square(10, 10, 6), f"1.{k}", z=str(2 * k)) for k in range(3)]
    (nodule,) = group(xml.nodule(*rois[:2]), xml.nodule(rois[2]), z_mm={"1.0": 50.0, "1.1": 52.0})
    assert nodule.z_mm == {"1.0": 50.0, "1.1": 52.0, "1.2": 54.0}


def test_oblong_pixels_count_with_both_spacings(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    outline = [(x, 10) for x in range(10, 31)] + [(30, 11), (30, 12)]
    outline += [(x, 12) for x in range(29, 9, -1)] + [(10, 11)]  # encloses 19 pixels of a row
    upright = [(y, x) for x, y in outline]
    lying, standing = (xml.nodule(xml.roi(points)) for points in (outline, upright))
    (wide,) = group(lying, pixel_mm=(0.5, 1.5))
    (narrow,) = group(standing, pixel_mm=(0.5, 1.5))
    assert wide.diameter_mm == pytest.approx(19 * 1.5)
    assert narrow.diameter_mm == pytest.approx(19 * 0.5)
    assert wide.volume_mm3 == narrow.volume_mm3 == pytest.approx(19 * 0.75 * 2)
    assert wide.pixel_spacing_mm == pytest.approx(0.75**0.5)


def test_distances_of_outlines_are_in_mm_along_both_axes(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    here, right, below = (
        xml.nodule(xml.roi(square(x, y, 6))) for x, y in ((10, 10), (18, 10), (10, 18))
    )
    assert readers(group(here, right, pixel_mm=(0.5, 1.0))) == [[0], [1]]  # 3 mm apart
    assert readers(group(here, below, pixel_mm=(0.5, 1.0))) == [[0, 1]]  # 1.5 mm


def test_a_series_without_outlines_has_no_nodules(
    group: Callable[..., list[Nodule]], xml: Any
) -> None:
    assert group("", xml.nodule(xml.roi([(3, 4)]), ratings=None)) == []


def test_ratings_are_those_of_the_readers_who_rated(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    outline = xml.roi(square(10, 10, 6))
    (nodule,) = group(
        xml.nodule(outline, ratings=(1, 1, 6, 1, 1, 1, 1, 1, 5)),
        xml.nodule(outline, ratings=()),
        xml.nodule(outline, ratings=(2, 1, 6, 1, 1, 1, 1, 1, 4)),
    )
    assert nodule.malignancy_ratings == (5, 4)
    assert nodule.ratings("subtlety") == (1, 2)
    with pytest.raises(LidcError, match="one of subtlety, .*, malignancy, found 'Malignancy'"):
        nodule.ratings("Malignancy")


# Masks.


def test_slices_where_nothing_is_enclosed_do_not_count(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    rois = [xml.roi(square(10, 10, 6)), xml.roi([(12, 12)], sop="1.2", z="2")]
    tip = xml.roi([(12, 12), (13, 12), (12, 12)], sop="1.3", z="-2")
    (nodule,) = group(xml.nodule(*rois, tip), xml.nodule(*rois))
    assert nodule.sop_uids == ("1.1",)
    assert [nodule.readers_on(uid) for uid in ("1.1", "1.2", "1.3", "9")] == [2, 0, 0, 0]
    assert nodule.masks("1.2", SHAPE).shape == (0, *SHAPE)
    assert nodule.masks("1.2", SHAPE).dtype == bool
    assert not nodule.majority_mask("1.2", SHAPE).any()


def test_a_mask_is_what_a_reader_enclosed(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    """The outline itself is outside; half of two readers is one."""
    outlines = (10, 10, 6), (12, 10, 8)
    (nodule,) = group(*(xml.nodule(xml.roi(square(*each))) for each in outlines))
    areas = np.zeros((2, *SHAPE), bool)
    for area, (x, y, side) in zip(areas, outlines):
        area[y + 1 : y + side - 1, x + 1 : x + side - 1] = True
    assert np.array_equal(nodule.masks("1.1", SHAPE), areas)
    assert np.array_equal(nodule.majority_mask("1.1", SHAPE), areas.any(axis=0))


def test_diameter_and_volume(group: Callable[..., list[Nodule]], xml: Any, square: Square) -> None:
    column = [(x, 10) for x in range(10, 41)] + [(40, 11), (40, 12)]
    column += [(x, 12) for x in range(39, 9, -1)] + [(10, 11)]
    (nodule,) = group(
        xml.nodule(xml.roi(column), xml.roi(square(10, 10, 4), sop="1.2", z="2")),
        xml.nodule(
            xml.roi(
                column[:3] + [(13, 10), (13, 11), (13, 12), (12, 12), (11, 12), (10, 12), (10, 11)]
            )
        ),
    )
    assert nodule.diameter_mm == pytest.approx((29 + 2) / 2 * 0.5)
    assert nodule.volume_mm3 == pytest.approx((29 + 4) * 0.25 * 2)


def test_a_slice_that_few_of_the_readers_outlined_is_cropped_and_has_no_volume(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    middle, tip = (xml.roi(square(10, 10, 6), f"1.{k}", z=str(2 * k)) for k in (1, 2))
    (nodule,) = group(xml.nodule(middle, tip), xml.nodule(middle), xml.nodule(middle))
    assert nodule.majority_mask("1.2", SHAPE).sum() == 16
    assert nodule.volume_mm3 == pytest.approx(16 * 0.25 * 2)
    (nodule,) = group(xml.nodule(middle, tip), xml.nodule(middle))  # one of two is half
    assert nodule.volume_mm3 == pytest.approx(2 * 16 * 0.25 * 2)


def test_two_slices_at_one_place_count_once_in_the_volume(
    group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    first, second = (xml.nodule(xml.roi(square(10, 10, 6), sop=uid)) for uid in ("1.1", "1.2"))
    (nodule,) = group(first, second)
    assert nodule.sop_uids == ("1.1", "1.2")
    assert nodule.volume_mm3 == pytest.approx(16 * 0.25 * 2)
    (nodule,) = group(first, first, second)  # each slice was outlined by fewer than all three
    assert nodule.volume_mm3 == pytest.approx(16 * 0.25 * 2)
    (nodule,) = group(xml.nodule(xml.roi(square(10, 10, 6)), xml.roi(square(10, 10, 6), "1.2")))
    assert nodule.volume_mm3 == pytest.approx(16 * 0.25 * 2)


# A nodule in its series.


@pytest.fixture
def series_and_nodule(
    group: Callable[..., list[Nodule]],
    xml: Any,
    square: Square,
    write_slice: Callable[..., Path],
    tmp_path: Path,
) -> Any:
    for number, z_mm in enumerate((0, 2, 4)):
        write_slice(z_mm, stored=np.zeros(SHAPE, np.int16), SOPInstanceUID=f"1.{number}")
    rois = [xml.roi(square(10, 10, 6), f"1.{number}", str(2 * number)) for number in (2, 1, 3)]
    (nodule,) = group(xml.nodule(*rois), xml.nodule(*rois[:2]), xml.nodule(rois[0]))
    return find_series(tmp_path / "scan")[0][0], nodule


def test_the_consensus_is_a_volume_and_leaves_missing_slices_out(series_and_nodule: Any) -> None:
    series, nodule = series_and_nodule
    mask = nodule.consensus_mask(series)
    assert mask.dtype == bool and mask.shape == series.volume_hu().shape
    assert mask.sum(axis=(1, 2)).tolist() == [0, 16, 16]
    assert mask.sum() * 0.25 * 2 == pytest.approx(nodule.volume_mm3)


def test_a_slice_of_too_few_readers_is_not_in_the_consensus(
    series_and_nodule: Any, group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    series, _ = series_and_nodule
    rois = [xml.roi(square(10, 10, 6), f"1.{number}", str(2 * number)) for number in (0, 1)]
    (nodule,) = group(xml.nodule(*rois), xml.nodule(rois[1]), xml.nodule(rois[1]))
    assert nodule.consensus_mask(series).sum(axis=(1, 2)).tolist() == [0, 16, 0]


def test_a_slice_that_the_xml_gives_no_position_is_in_the_consensus(
    series_and_nodule: Any, group: Callable[..., list[Nodule]], xml: Any, square: Square
) -> None:
    series, _ = series_and_nodule
    (nodule,) = group(xml.nodule(xml.roi(square(10, 10, 6), z="")))
    assert nodule.consensus_mask(series).sum(axis=(1, 2)).tolist() == [0, 16, 0]


# The real collection.


@pytest.mark.lidc
def test_the_nodule_of_the_first_patient(lidc_folder: Path) -> None:
    annotations, _ = find_annotations(lidc_folder / "lidc-dicom.zip")
    series = find_series(lidc_folder / "lidc-dicom.zip")[0][0]
    step_mm, pixel_mm, _ = series.spacing_zyx_mm
    (nodule,) = group_readings(annotations[series.series_uid], pixel_mm, step_mm)
    assert nodule.malignancy_ratings == (5, 5, 5, 4)
    assert [nodule.readers_on(uid) for uid in nodule.sop_uids] == [3, 4, 4, 4, 4, 4, 4, 4, 1]
    assert [series.index_of(uid) for uid in nodule.sop_uids] == list(range(86, 95))
    assert nodule.diameter_mm == pytest.approx(31.9, abs=0.1)
    assert nodule.volume_mm3 == pytest.approx(6709, abs=1)  # by half of each slice's readers 6823
    # The greater sides of the rectangles that lidc32.zip was cut from: 32 / scale.
    sides = [side(nodule.majority_mask(uid, (512, 512))) for uid in nodule.sop_uids]
    assert sides[1:6] == [36, 38, 42, 40, 33]
    assert max(sides[0], *sides[6:]) <= 32


def side(mask: np.ndarray) -> int:
    return int(np.ptp(np.argwhere(mask), axis=0).max()) + 1
