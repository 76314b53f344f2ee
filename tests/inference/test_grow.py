"""What is grown from a point is the nodule, however large it is and whatever it touches."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lungdx_paddle.inference.grow import Grown, grow

SPACING_MM = (2.0, 0.8, 0.8)
SHAPE = (40, 96, 96)
LUNG, TISSUE = -850, 40
Z, Y, X = (
    axis * mm for axis, mm in zip(np.mgrid[tuple(map(slice, SHAPE))].astype(float), SPACING_MM)
)
MIDDLE = 40.0, 38.4, 38.4  # mm


def ball(radius_mm: float, z: float = 40.0, y: float = 38.4, x: float = 38.4) -> np.ndarray:
    inside: np.ndarray = (Z - z) ** 2 + (Y - y) ** 2 + (X - x) ** 2 <= radius_mm**2
    return inside


def lung_with(*parts: np.ndarray, hu: float = TISSUE, noise_hu: float = 20.0) -> np.ndarray:
    """HU of lung with parts of soft tissue in it, as a scanner sees them."""
    volume = np.full(SHAPE, LUNG, float)
    for part in parts:
        volume[part] = hu
    return (volume + np.random.default_rng(0).normal(0, noise_hu, SHAPE)).astype(np.int16)


def grown(volume: np.ndarray, z: float = 40.0, y: float = 38.4, x: float = 38.4) -> Grown:
    """What is grown from a place in mm."""
    step, row, column = SPACING_MM
    return grow(volume, (round(z / step), y / row, x / column), SPACING_MM)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


@pytest.mark.parametrize("radius_mm", [3, 5, 8, 12, 15])
@pytest.mark.parametrize("noise_hu", [20, 100])
def test_a_nodule_is_found_whole_from_a_point_near_its_middle(
    radius_mm: float, noise_hu: float
) -> None:
    nodule = ball(radius_mm)
    volume = lung_with(nodule, noise_hu=noise_hu)
    for dz, dy, dx in ((0, 0, 0), (0, 2, 0), (2, 0, 0), (0, -1.4, 1.4)):
        found = grown(volume, MIDDLE[0] + dz, MIDDLE[1] + dy, MIDDLE[2] + dx)
        assert dice(found.mask, nodule) > 0.8
        assert found.distance_mm == 0 and not [d for d in found.doubts if "mm wide" not in d]


def test_a_mass_is_found_whole_from_far_off_its_middle_and_named_one() -> None:
    mass = ball(18)
    for dy in (0, 6, 12):
        found = grown(lung_with(mass), y=MIDDLE[1] + dy)
        assert dice(found.mask, mass) > 0.8
        assert [d for d in found.doubts if "mm wide: a mass" in d]


def test_the_chest_wall_and_a_vessel_are_cut_off() -> None:
    nodule = ball(6)
    for other in (Y > MIDDLE[1] + 5, (abs(Z - 40) < 2.1) & (abs(Y - MIDDLE[1]) < 2.5)):
        found = grown(lung_with(nodule, other), y=MIDDLE[1] - 1)
        assert dice(found.mask, nodule) > 0.9


def test_faint_ground_glass_and_calcium_are_found() -> None:
    nodule = ball(6)
    for hu in (-600, 900):
        assert dice(grown(lung_with(nodule, hu=hu)).mask, nodule) > 0.8


@pytest.mark.parametrize(
    ("volume", "doubt"),
    [
        (lung_with(), "nothing denser than lung at the point .* lung or air"),
        (np.full(SHAPE, -1000, np.int16), r"nothing denser .* \(-1000 HU: air\): no nodule"),
        (np.full(SHAPE, 40, np.int16), "lung on 0% of its sides only: chest wall, mediastinum"),
        (lung_with(Y > 30), "lung on .* of its sides only|goes on in chest wall"),
        (
            lung_with((abs(Y - MIDDLE[1]) < 2) & (abs(X - MIDDLE[2]) < 2)),
            "in two opposite directions, as vessels do",
        ),
    ],
)
def test_a_point_that_is_no_nodule_is_doubted(volume: np.ndarray, doubt: str) -> None:
    found = grown(volume)
    assert any(re.search(doubt, told) for told in found.doubts), found.doubts


def test_a_faded_edge_is_doubted() -> None:
    away_mm = np.sqrt((Z - 40) ** 2 + (Y - MIDDLE[1]) ** 2 + (X - MIDDLE[2]) ** 2)
    faded = (LUNG + 500 * np.clip(1 - away_mm / 18, 0, 1)).astype(np.int16)
    assert [d for d in grown(faded).doubts if "no clear edge" in d]


def test_a_point_beside_a_nodule_says_how_far_it_is() -> None:
    found = grown(lung_with(ball(4)), x=MIDDLE[2] + 6)
    assert found.distance_mm > 1 or not found.mask.any()


def test_the_ends_of_the_volume_are_no_obstacle() -> None:
    nodule = ball(6, z=0, y=0, x=0)
    found = grown(lung_with(nodule), 0, 0, 0)
    assert dice(found.mask, nodule) > 0.6
    (slice_,) = lung_with(ball(6))[20:21]
    found = grow(slice_[np.newaxis], (0, 48, 48), SPACING_MM)
    assert dice(found.mask[0], ball(6)[20]) > 0.8 and not found.doubts
    small = grow(np.full((1, 5, 6), -1000, np.int16), (0, 3, 4), (2.5, 0.7, 0.7))
    assert small.mask.shape == (1, 5, 6) and not small.mask.any()
