"""The phantom's chest has lungs, bones, muscle and vessels where a CT has them."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.phantom.chest import Chest, build_chest
from lungdx_paddle.phantom.geometry import Grid

GRID = Grid(rows=128, slices=6, pixel_mm=2.6, slice_mm=2.5)


@pytest.fixture(scope="module")
def chest() -> Chest:
    return build_chest(GRID, np.random.default_rng(1))


def test_there_is_a_lung_on_either_side_of_the_middle(chest: Chest) -> None:
    lung = chest.lung > 0.5
    for side in (lung[:, :, :64], lung[:, :, 64:]):
        assert 0.08 < side.mean() < 0.35
    assert not lung[:, :, 63:65].mean() > 0.2  # the mediastinum between them
    assert -900 < np.median(chest.volume_hu[lung]) < -800


def test_bone_muscle_and_air_are_there_in_their_hu(chest: Chest) -> None:
    hu = chest.volume_hu
    assert (hu[:, 0] == -1000).all()  # air before the patient
    assert ((hu > 400) & (hu < 700)).any(axis=(1, 2)).all()  # ribs, spine
    assert ((hu > 20) & (hu < 70)).mean() > 0.05  # muscle, blood
    assert hu.min() >= -1000 and hu.max() < 1500


def test_vessels_lie_in_the_lungs_only(chest: Chest) -> None:
    assert (chest.vessel <= chest.lung + 1e-6).all()
    assert 0.01 < chest.vessel[chest.lung > 0.5].mean() < 0.3


def test_a_chest_fits_its_field_and_no_two_are_alike(chest: Chest) -> None:
    other = build_chest(GRID, np.random.default_rng(2))
    again = build_chest(GRID, np.random.default_rng(1))
    assert (again.volume_hu == chest.volume_hu).all()
    assert (other.volume_hu != chest.volume_hu).mean() > 0.3
    for edge in (chest.lung[:, :, 0], chest.lung[:, :, -1], chest.lung[:, 0], chest.lung[:, -1]):
        assert not edge.any()
