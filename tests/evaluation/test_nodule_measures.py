"""A crop shows its nodule's size, roundness and brightness, by either rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.evaluation.nodule_measures import measure
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import ManifestRow

Draw = Callable[..., np.ndarray]


@pytest.fixture
def row(crop_rows: list[ManifestRow]) -> ManifestRow:
    """One made-up crop, 0.7 mm a pixel."""
    return crop_rows[0]


@pytest.fixture
def disc() -> Draw:
    """A function (radius, inside, outside, stretch) -> crop with an ellipse in its middle."""

    def draw(radius: float, inside: int, outside: int, stretch: float = 1.0) -> np.ndarray:
        y, x = np.indices((32, 32)) - 15.5
        near = np.hypot(y / stretch, x * stretch) <= radius
        return np.where(near, inside, outside).astype(np.uint8)

    return draw


@pytest.mark.parametrize(("rule", "outside"), [("paper", 0), ("context", 25)])
@pytest.mark.parametrize("radius", [3.0, 6.0, 9.0])
def test_the_diameter_is_that_of_the_disc_in_mm(
    row: ManifestRow, disc: Draw, rule: str, outside: int, radius: float
) -> None:
    found = measure([replace(row, crop=rule)], disc(radius, 120, outside)[np.newaxis])
    pixel_mm = 0.7 if rule == "paper" else 1.0
    assert found.diameter_mm[0] == pytest.approx(2 * radius * pixel_mm, abs=0.7 * pixel_mm)
    assert (found.mean_gray[0], found.largest_gray[0]) == (120, 120)
    assert found.roundness[0] == pytest.approx(0, abs=0.15)


def test_a_crop_that_was_shrunk_shows_a_larger_nodule(row: ManifestRow, disc: Draw) -> None:
    rows = [row, replace(row, scale=0.5)]
    whole, shrunk = measure(rows, np.stack([disc(8, 120, 0)] * 2)).diameter_mm
    assert shrunk == pytest.approx(2 * whole)


@pytest.mark.parametrize(("rule", "outside"), [("paper", 0), ("context", 25)])
def test_a_long_nodule_is_less_round(row: ManifestRow, disc: Draw, rule: str, outside: int) -> None:
    images = np.stack([disc(6, 120, outside), disc(6, 120, outside, 1.6)])
    if rule == "paper":
        images[1, 14:18, 4:28] = 120  # an ellipse alone is as round as its moments say
    ball, long = measure([replace(row, crop=rule)] * 2, images).roundness
    assert long < ball - 0.1


def test_a_wall_beside_a_nodule_does_not_make_it_larger(row: ManifestRow, disc: Draw) -> None:
    alone = disc(4, 120, 25)
    beside = alone.copy()
    beside[:, 18:] = 120  # chest wall that touches it
    free, touching = measure(
        [replace(row, crop="context")] * 2, np.stack([alone, beside])
    ).diameter_mm
    assert touching == pytest.approx(free, rel=0.2)


def test_a_nodule_has_the_largest_of_its_crops_and_means_of_the_rest(
    row: ManifestRow, disc: Draw
) -> None:
    other = replace(row, nodule=7)
    images = np.stack([disc(3, 100, 0), disc(4, 60, 0), disc(6, 200, 0)])
    crops = measure([row, other, row], images)
    nodules, place = crops.by_nodule()
    assert place.tolist() == [0, 1, 0]
    assert nodules.diameter_mm.tolist() == crops.diameter_mm[[2, 1]].tolist()
    assert nodules.largest_gray.tolist() == [200, 60] and nodules.mean_gray.tolist() == [150, 60]
    assert crops.select(np.array([1])).mean_gray.tolist() == [60]


@pytest.mark.parametrize("rule", ["paper", "context"])
def test_a_crop_among_others_has_the_measures_that_it_has_alone(
    row: ManifestRow, disc: Draw, rule: str
) -> None:
    first, second, third = (0, 0, 0) if rule == "paper" else (10, 150, 25)
    noise = np.random.default_rng(0).integers(0, 9, (32, 32), np.uint8)
    images = np.stack([disc(3, 90, first), disc(8, 200, second, 1.3), disc(5, 60, third) + noise])
    rows = [replace(row, crop=rule, nodule=n) for n in range(3)]
    together = measure(rows, images)
    for name in ("diameter_mm", "roundness", "mean_gray", "largest_gray"):
        alone = [
            getattr(measure([r], image[np.newaxis]), name)[0] for r, image in zip(rows, images)
        ]
        np.testing.assert_allclose(getattr(together, name), alone, err_msg=name)


def test_by_context_a_nodule_ends_where_six_tenths_of_its_contrast_are_gone(
    row: ManifestRow, disc: Draw
) -> None:
    def diameter_mm(ring: int) -> float:
        """Of a disc of 120 on 20 with a ring about it, which is dark up to a gray value of 80."""
        image = np.maximum(disc(5, 120, 20), disc(9, ring, 0))
        return float(measure([replace(row, crop="context")], image[np.newaxis]).diameter_mm[0])

    without = diameter_mm(20)
    assert diameter_mm(70) == diameter_mm(80) == without == pytest.approx(10, abs=0.7)
    assert diameter_mm(81) == diameter_mm(90) == pytest.approx(18, abs=0.7)


def test_by_context_a_nodule_of_two_pixels_is_bright(row: ManifestRow) -> None:
    image = np.full((1, 32, 32), 20, np.uint8)
    image[0, 15:17, 15:17] = 200
    found = measure([replace(row, crop="context")], image)
    assert found.mean_gray[0] == 200 and found.diameter_mm[0] < 3


def test_by_context_a_band_across_the_crop_is_as_long_as_its_rays(row: ManifestRow) -> None:
    image = np.full((1, 32, 32), 20, np.uint8)
    image[0, 9:23] = 120  # 7 pixels to both sides of the middle
    found = measure([replace(row, crop="context")], image)
    # Ten of 32 rays find no end within 15.5 pixels, the 25th percentile one between 7.5 and 8.
    assert found.roundness[0] == pytest.approx(np.log(7.75 / 15.75))


@pytest.mark.parametrize("sides", [(1, 9), (9, 1), (4, 6), (5, 5)])
def test_by_outline_every_rectangle_is_as_round(row: ManifestRow, sides: tuple[int, int]) -> None:
    """Its area over that of its ellipse is 3 / pi, down to a width of one pixel."""
    image = np.zeros((1, 32, 32), np.uint8)
    image[0, 10 : 10 + sides[0], 12 : 12 + sides[1]] = 120
    assert measure([row], image).roundness[0] == pytest.approx(np.log(3 / np.pi))


def test_by_outline_an_ellipse_is_round_whichever_way_it_lies(row: ManifestRow) -> None:
    y, x = np.indices((32, 32)) - 15.5
    straight = np.hypot(y / 5, x / 11) <= 1
    oblique = np.hypot((y + x) / 5, (y - x) / 11) <= np.sqrt(2)
    images = np.where([straight, oblique], 120, 0).astype(np.uint8)
    assert measure([row] * 2, images).roundness == pytest.approx([0, 0], abs=0.03)


def test_what_a_jpg_leaves_of_the_padding_is_not_nodule(row: ManifestRow, disc: Draw) -> None:
    clean, left = measure([row] * 2, np.stack([disc(6, 120, 0), disc(6, 120, 12)])).diameter_mm
    assert left == clean


def test_a_black_crop_has_numbers_and_an_unknown_series_no_thickness(row: ManifestRow) -> None:
    uid, facts = next(iter(known_series().items()))
    for rule in ("paper", "context"):
        rows = [replace(row, crop=rule), replace(row, crop=rule, series_uid=uid)]
        found = measure(rows, np.zeros((2, 32, 32), np.uint8))
        assert np.isfinite([found.diameter_mm, found.roundness, found.mean_gray]).all()
        smallest_mm = 1.0 if rule == "context" else 0.7 * 2 / np.sqrt(np.pi)  # a pixel, as a disc
        assert found.diameter_mm == pytest.approx([smallest_mm] * 2)
        assert np.isnan(found.slice_thickness_mm[0])
        assert found.slice_thickness_mm[1] == facts.slice_thickness_mm
