"""The paper's threshold and steps, on drawn slices."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.preprocess.lungs.paper_steps import disc, iterative_threshold, lung_steps


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


def test_the_steps_are_those_of_the_paper(chest_hu: np.ndarray) -> None:
    steps = lung_steps(chest_hu)
    assert list(steps) == ["tissue", "body", "air", "parenchyma", "lung"]
    assert all(step.dtype == bool and step.shape == chest_hu.shape for step in steps.values())
    assert steps["tissue"][218, 128], "the table is above the threshold"
    assert not steps["body"][218, 128], "and not in the body"
    assert steps["body"][120, 75] and steps["body"][80, 128], "whose holes are filled"
    assert steps["air"][80, 128] and not steps["parenchyma"][80, 128], "the windpipe goes"
    assert steps["lung"][120, 75], "the vessel belongs to the lung"


def test_closing_takes_in_what_is_narrower_than_the_disc(chest_hu: np.ndarray) -> None:
    chest_hu[70:170, 73:77] = 40  # cuts one lung in two
    steps = lung_steps(chest_hu)
    assert not steps["parenchyma"][120, 75]
    assert steps["lung"][120, 75]


@pytest.mark.parametrize("hu", [-1000, 40])
def test_a_slice_without_lung_has_an_empty_mask(hu: int) -> None:
    assert not lung_steps(np.full((128, 128), hu, np.int16))["lung"].any()


def test_a_disc_of_radius_5_has_81_pixels() -> None:
    assert disc(5).shape == (11, 11)
    assert disc(5).sum() == 81
