"""Nodules look as malignant as they are, lie in the lungs, and apart from each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.phantom.chest import Chest, build_chest
from lungdx_paddle.phantom.diseases import DISEASES
from lungdx_paddle.phantom.geometry import Grid
from lungdx_paddle.phantom.lesions import (
    DIAMETER_RANGE_MM,
    GAP_MM,
    Lesion,
    Placed,
    draw_lesion,
    place_lesions,
    render,
)

GRID = Grid(rows=192, slices=16, pixel_mm=1.7, slice_mm=2.5)


@pytest.fixture(scope="module")
def lesions() -> list[Lesion]:
    rng = np.random.default_rng(0)
    return [draw_lesion(DISEASES[k % len(DISEASES)], rng) for k in range(600)]


@pytest.fixture(scope="module")
def chest() -> Chest:
    return build_chest(GRID, np.random.default_rng(1))


@pytest.fixture(scope="module")
def placed(chest: Chest, lesions: list[Lesion]) -> list[Placed]:
    return place_lesions(lesions[:6], chest, GRID, np.random.default_rng(2))


def test_likely_malignant_nodules_are_larger_rougher_and_less_calcified(
    lesions: list[Lesion],
) -> None:
    low = [one for one in lesions if one.malignancy < 2.5]
    high = [one for one in lesions if one.malignancy > 3.5]
    assert min(len(low), len(high)) > 50
    for looks in ("radius_mm", "spikes", "edge_mm"):
        assert np.mean([getattr(x, looks) for x in high]) > 1.2 * np.mean(
            [getattr(x, looks) for x in low]
        )
    assert np.mean([x.calcium is not None for x in low]) > 0.3
    assert np.mean([x.calcium is not None for x in high]) < 0.15


def test_looks_stay_in_their_ranges(lesions: list[Lesion]) -> None:
    for one in lesions:
        assert 0.5 <= one.malignancy <= 5.5
        assert DIAMETER_RANGE_MM[0] <= 2 * one.radius_mm <= DIAMETER_RANGE_MM[1]
        assert 0 <= one.solidity <= 1 and one.edge_mm >= 0.9


def centre_mm(one: Placed) -> np.ndarray:
    """(3,) z, y, x of the deepest voxel."""
    deepest = np.unravel_index(np.argmax(one.depth_mm), one.depth_mm.shape)
    return (np.array([s.start for s in one.box]) + deepest) * GRID.spacing_zyx_mm


def test_nodules_lie_in_a_lung_and_apart(chest: Chest, placed: list[Placed]) -> None:
    assert len(placed) >= 4
    radii = [one.lesion.radius_mm for one in placed]
    assert radii == sorted(radii, reverse=True)  # large ones need room
    for k, one in enumerate(placed):
        assert chest.lung[tuple(np.round(centre_mm(one) / GRID.spacing_zyx_mm).astype(int))] > 0.5
        for other in placed[:k]:
            apart = np.linalg.norm(centre_mm(one) - centre_mm(other))
            assert apart > one.lesion.radius_mm + other.lesion.radius_mm + GAP_MM / 2


def test_without_room_a_nodule_is_left_out(chest: Chest, lesions: list[Lesion]) -> None:
    no_lung = replace(chest, lung=np.zeros_like(chest.lung))
    assert place_lesions(lesions[:3], no_lung, GRID, np.random.default_rng(0)) == []


def test_a_nodule_only_adds_density_and_only_in_its_box(chest: Chest, placed: list[Placed]) -> None:
    solid = next(p for p in placed if p.lesion.solidity == 1 and not p.lesion.cavity)
    volume = chest.volume_hu.copy()
    render(solid, volume, np.random.default_rng(0))
    change = volume - chest.volume_hu
    assert change.min() >= -1e-3
    inside = np.zeros(volume.shape, bool)
    inside[solid.box] = True
    assert not change[~inside].any()
    deep = (solid.depth_mm > 1) & solid.lung
    assert volume[solid.box][deep].mean() > -300
