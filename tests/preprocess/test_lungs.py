"""The threshold against the paper's words, the lung mask on a drawn chest."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.preprocess.lungs import disc, iterative_threshold, lung_mask, lung_steps


def thresholded_pixel_by_pixel(gray: np.ndarray) -> float:
    """The paper's four sentences, without a histogram."""
    values = gray.astype(float).ravel()
    threshold, before = (values.min() + values.max()) / 2, None
    while threshold != before:
        before = threshold
        tissue, air = values[values >= threshold], values[values < threshold]
        threshold = (tissue.mean() + air.mean()) / 2
    return threshold


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_that_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    dark, bright = rng.integers(0, 60), rng.integers(100, 250)
    gray = rng.choice([dark, bright], (40, 50), p=[0.2, 0.8]) + rng.normal(0, 20, (40, 50))
    gray = gray.clip(0, 255).astype(np.uint8)
    assert iterative_threshold(gray) == pytest.approx(thresholded_pixel_by_pixel(gray), abs=1e-9)


def test_two_values_are_split_half_way() -> None:
    assert iterative_threshold(np.array([[10, 10, 10, 200]], np.uint8)) == 105


@pytest.mark.parametrize("value", [0, 7, 255])
def test_an_image_of_one_value_has_that_threshold(value: int) -> None:
    assert iterative_threshold(np.full((5, 5), value, np.uint8)) == value


def ellipse(x: float, y: float, rx: float, ry: float, side: int = 256) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return ((columns - x) / rx) ** 2 + ((rows - y) / ry) ** 2 <= 1


@pytest.fixture
def chest_hu() -> np.ndarray:
    """Body, two lungs with a vessel in one, windpipe, table; in air."""
    hu = np.full((256, 256), -1000, np.int16)
    hu[ellipse(128, 120, 110, 80)] = 40
    hu[ellipse(75, 120, 35, 50) | ellipse(180, 120, 35, 50)] = -850
    hu[ellipse(75, 120, 3, 8)] = 50
    hu[ellipse(128, 80, 8, 8)] = -1000
    hu[215:222, 10:246] = 100
    return hu


def test_the_lungs_are_found_and_nothing_else(chest_hu: np.ndarray) -> None:
    truth = ellipse(75, 120, 35, 50) | ellipse(180, 120, 35, 50)
    mask = lung_mask(chest_hu)
    assert mask.dtype == bool
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.99
    assert mask[120, 75], "the vessel belongs to the lung"
    assert not mask[80, 128], "the windpipe does not"


def test_the_steps_are_those_of_the_paper(chest_hu: np.ndarray) -> None:
    steps = lung_steps(chest_hu)
    assert list(steps) == ["tissue", "body", "air", "parenchyma", "lung"]
    assert steps["tissue"][218, 128], "the table is above the threshold"
    assert not steps["body"][218, 128], "and not in the body"
    assert steps["body"][120, 75] and steps["body"][80, 128], "whose holes are filled"
    assert steps["air"][80, 128] and not steps["parenchyma"][80, 128]
    assert np.array_equal(steps["lung"], lung_mask(chest_hu))


def test_a_small_nodule_at_the_wall_belongs_to_the_lung(chest_hu: np.ndarray) -> None:
    nodule = ellipse(41, 120, 4, 4) & ellipse(75, 120, 35, 50)
    chest_hu[nodule] = 30
    assert lung_mask(chest_hu)[nodule].mean() > 0.9


@pytest.mark.parametrize("hu", [-1000, 40])
def test_a_slice_without_lung_has_an_empty_mask(hu: int) -> None:
    assert not lung_mask(np.full((128, 128), hu, np.int16)).any()


def test_a_disc_of_radius_5_has_81_pixels() -> None:
    assert disc(5).shape == (11, 11)
    assert disc(5).sum() == 81
