"""Training images changed at random, as another scan of the nodule might have shown it.

Pixels are moved, never resampled: turning by any angle blurs a nodule's edge, and made the
network worse on unseen patients (docs/results.md).
"""

from __future__ import annotations

import numpy as np

from lungdx_paddle.settings import AugmentConfig

MIDDLE_GRAY = 128.0
"""What contrast is measured from: with the default window, HU 24, between fat and muscle."""


def augmented(
    images: np.ndarray, settings: AugmentConfig, random: np.random.Generator
) -> np.ndarray:
    """Each image turned, mirrored, moved, and its gray values changed.

    What is moved in from outside repeats the image's edge, since black would tell how it was
    moved.  The labels stay true: none of this changes what the nodule is.

    Args:
        images: (n, 1, 32, 32) float32 gray values from 0 to 255.
        settings: how far; all zero gives the images as they are.
        random: the same number of draws for every image, whatever the settings are.

    Returns:
        (n, 1, 32, 32) float32 gray values from 0 to 255.
    """
    if settings == AugmentConfig():
        return images
    draws = random.uniform(0.0, 1.0, (len(images), 7))
    moved = np.stack([_moved(image[0], d, settings) for image, d in zip(images, draws)])
    either_way = 2.0 * draws[:, 5:].T[..., np.newaxis, np.newaxis] - 1.0
    factor, added = 1.0 + settings.contrast * either_way[0], settings.brightness * either_way[1]
    changed = (moved - MIDDLE_GRAY) * factor + MIDDLE_GRAY + added
    return np.asarray(changed.clip(0.0, 255.0)[:, np.newaxis], np.float32)


def _moved(image: np.ndarray, draws: np.ndarray, settings: AugmentConfig) -> np.ndarray:
    """One image in one of a square's eight orientations, then shifted."""
    if draws[0] < settings.mirror:
        image = image[:, ::-1]
    if draws[1] < settings.turn:
        image = np.rot90(image, 1 + int(draws[2] * 3))
    reach = settings.shift
    down, right = (draws[3:5] * (2 * reach + 1)).astype(int)
    rows, columns = image.shape
    return np.pad(image, reach, mode="edge")[down : down + rows, right : right + columns]
