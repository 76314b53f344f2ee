"""Augmentation moves pixels and changes gray values within the bounds of its settings."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.data.augment import augmented
from lungdx_paddle.settings import AugmentConfig


@pytest.fixture
def images() -> np.ndarray:
    values = np.random.default_rng(0).integers(60, 190, (64, 1, 32, 32))
    return values.astype(np.float32)


def changed(images: np.ndarray, seed: int = 0, **settings: float) -> np.ndarray:
    return augmented(images, AugmentConfig(**settings), np.random.default_rng(seed))


def orientations(image: np.ndarray) -> list:
    return [np.rot90(side, k) for side in (image, image[:, ::-1]) for k in range(4)]


def test_without_settings_nothing_changes(images: np.ndarray) -> None:
    np.testing.assert_array_equal(changed(images), images)


def test_the_same_draws_give_the_same_images(images: np.ndarray) -> None:
    every = {"mirror": 0.5, "turn": 0.75, "shift": 2, "contrast": 0.1, "brightness": 10.0}
    first, again = (changed(images, **every) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, changed(images, seed=1, **every))
    assert first.shape == images.shape and first.dtype == np.float32


def test_turned_and_mirrored_images_show_all_eight_orientations(images: np.ndarray) -> None:
    seen = set()
    for before, after in zip(images, changed(images, mirror=0.5, turn=0.75)):
        match = [k for k, o in enumerate(orientations(before[0])) if np.array_equal(o, after[0])]
        assert len(match) == 1
        seen.update(match)
    assert seen == set(range(8))


def test_a_shift_moves_the_middle_and_repeats_the_edge(images: np.ndarray) -> None:
    moves = set()
    for before, after in zip(images, changed(images, shift=2)):
        padded = np.pad(before[0], 2, mode="edge")
        windows = {(d, r): padded[d : d + 32, r : r + 32] for d in range(5) for r in range(5)}
        found = [move for move, w in windows.items() if np.array_equal(w, after[0])]
        assert len(found) == 1
        moves.update(found)
    assert len(moves) > 15


def test_brightness_and_contrast_stay_within_their_bounds(images: np.ndarray) -> None:
    added = changed(images, brightness=12.0) - images
    assert 8 < np.abs(added).max() <= 12.001
    np.testing.assert_allclose(added.std(axis=(1, 2, 3)), 0, atol=1e-3)
    factor = (changed(images, contrast=0.1) - 128) / np.where(images == 128, np.nan, images - 128)
    assert 0.9 - 1e-3 <= np.nanmin(factor) < 0.95 and 1.05 < np.nanmax(factor) <= 1.1 + 1e-3


def test_gray_values_stay_gray_values() -> None:
    extreme = np.stack([np.zeros((1, 32, 32)), np.full((1, 32, 32), 255)]).astype(np.float32)
    after = changed(extreme, contrast=0.5, brightness=100.0)
    assert after.min() >= 0 and after.max() <= 255
