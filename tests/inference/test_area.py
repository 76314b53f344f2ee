"""The area at a point is the nodule's, however large it is, or is doubted."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.inference.area import area_at

SPACING_MM = (0.7, 0.7)
LUNG, TISSUE = -850, 40


def lung_with(*areas: np.ndarray, noise_hu: float = 20.0) -> np.ndarray:
    """(256, 256) HU: lung with areas of soft tissue in it, as a scanner sees them."""
    hu = np.full((256, 256), LUNG, float)
    for area in areas:
        hu[area] = TISSUE
    hu += np.random.default_rng(0).normal(0, noise_hu, hu.shape)
    return np.rint(hu).astype(np.int16)


def disk(x: float, y: float, radius: float, stretch: float = 1.0) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    area: np.ndarray = ((columns - x) / stretch) ** 2 + (rows - y) ** 2 <= radius**2
    return area


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((one & other).sum()) / float(one.sum() + other.sum())


def test_the_nearest_bright_area_is_the_nodule_also_at_the_edge() -> None:
    hu = lung_with(disk(30, 30, 4), disk(46, 33, 3), disk(1, 1, 5), noise_hu=5)
    for x, y, radius in ((28, 33, 4), (46, 33, 3), (0, 0, 5)):
        area = area_at(hu, x, y, SPACING_MM)
        near = disk(30 if x == 28 else 46 if x == 46 else 1, 30 if x == 28 else y or 1, radius)
        assert dice(area.mask, near) > 0.9 and area.doubts == () and area.distance_mm == 0


@pytest.mark.parametrize("radius", [3, 8, 14, 18, 24, 35, 50])
@pytest.mark.parametrize("noise_hu", [20, 120])
def test_a_mass_is_found_whole_wherever_in_it_the_point_is(radius: int, noise_hu: float) -> None:
    mass = disk(128, 128, radius)
    hu = lung_with(mass, noise_hu=noise_hu)
    off = radius // 2
    for x, y in ((128, 128), (128 + off, 128), (128, 128 - off), (128 - off, 128 + off)):
        area = area_at(hu, x, y, SPACING_MM)
        assert dice(area.mask, mass) > 0.85 and area.doubts == ()
        assert area.mask.sum() == pytest.approx(np.pi * radius**2, rel=0.25)


def test_a_mass_is_taken_without_the_vessel_or_the_chest_wall_beside_it() -> None:
    rows, columns = np.mgrid[:256, :256]
    mass = disk(128, 100, 24)
    for other in (abs(columns - 128) < 3, (rows > 62) & (rows < 82)):
        area = area_at(lung_with(mass, other), 128, 105, SPACING_MM)
        assert dice(area.mask, mass) > 0.85
        (doubt,) = area.doubts
        assert doubt.startswith("the area at the point goes on in chest wall or a vessel")


def test_a_vessel_is_doubted() -> None:
    rows, columns = np.mgrid[:256, :256]
    vessel = (abs(columns - rows) < 3) & (abs(rows - 128) < 11)
    (doubt,) = area_at(lung_with(vessel), 128, 128, SPACING_MM).doubts
    assert doubt == "the area at the point is long or branched, as vessels are"


def test_a_nodule_is_found_whole_from_a_point_beside_it() -> None:
    nodule = disk(40, 128, 6)
    for x in range(28, 58, 3):
        assert dice(area_at(lung_with(nodule), x, 128, SPACING_MM).mask, nodule) > 0.9


def test_what_no_square_holds_is_cut_off_and_doubted() -> None:
    rows, _ = np.mgrid[:256, :256]
    area = area_at(lung_with(disk(128, 100, 5), rows < 98), 128, 100, SPACING_MM)
    assert area.mask[100, 128] and area.mask.sum() < 32 * 32
    (doubt,) = area.doubts
    assert doubt.startswith("the area at the point ends nowhere within 162 pixels (113 mm)")


def test_a_point_where_there_is_no_nodule_is_doubted() -> None:
    hu = lung_with(disk(40, 128, 6), noise_hu=5)
    (away,) = area_at(hu, 50, 128, SPACING_MM).doubts
    assert away == "nothing bright at the point: the area taken is 2.4 mm away"
    assert "HU: lung or air, no nodule" in "".join(area_at(hu, 200, 128, SPACING_MM).doubts)
    bone = np.where(disk(40, 128, 6), 900, hu).astype(np.int16)
    (bone_,) = area_at(bone, 40, 128, SPACING_MM).doubts
    assert "HU: bone, calcium or contrast medium" in bone_
    tissue = (hu - LUNG).astype(np.int16)  # as where the rescale intercept is missing
    assert (
        "no lung within 162 pixels (113 mm) about the point"
        in area_at(tissue, 200, 128, SPACING_MM).doubts[0]
    )


def test_a_slice_of_one_value_and_a_small_slice_have_an_area_too() -> None:
    for shape in ((64, 64), (5, 6)):
        area = area_at(np.full(shape, -1000, np.int16), 3, 4, SPACING_MM)
        assert area.mask.shape == shape and area.mask.any() and area.doubts
