"""Random augmentation of training images, as another scan of the nodule might show it.

Pixels are moved, never resampled: turning by any angle blurs a nodule's edge, and made the
network worse on unseen patients (docs/lab/results.md).
"""

from __future__ import annotations

import itertools

import numpy as np

from lungdx_paddle.settings import AugmentConfig

MIDDLE_GRAY = 128.0
"""What contrast is measured from: with the default window, HU 24, between fat and muscle."""


def augmented(
    images: np.ndarray, settings: AugmentConfig, random: np.random.Generator
) -> np.ndarray:
    """Augment images: turn, mirror, shift, and change contrast and brightness.

    What is moved in from outside repeats the image's edge, since black would show how it was
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
    either_way = 2.0 * draws[:, 5:].T[..., np.newaxis, np.newaxis] - 1.0
    factor, added = 1.0 + settings.contrast * either_way[0], settings.brightness * either_way[1]
    changed = (_moved(images[:, 0], draws, settings) - MIDDLE_GRAY) * factor
    changed += MIDDLE_GRAY
    changed += added
    return changed.clip(0.0, 255.0, out=changed).astype(np.float32)[:, np.newaxis]


def _moved(images: np.ndarray, draws: np.ndarray, settings: AugmentConfig) -> np.ndarray:
    """Each image in one of a square's eight orientations, then shifted."""
    reach = settings.shift
    mirrored = draws[:, 0] < settings.mirror
    quarters = np.where(draws[:, 1] < settings.turn, 1 + (draws[:, 2] * 3).astype(int), 0)
    offsets = (draws[:, 3:5] * (2 * reach + 1)).astype(int).tolist()
    wider = np.pad(images, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    moved = np.empty_like(images)
    rows, columns = images.shape[1:]
    # All images of one orientation at once: image by image takes six times as long.
    for way, turns in itertools.product((False, True), range(4)):
        these = np.flatnonzero((mirrored == way) & (quarters == turns))
        seen = wider[these, :, ::-1] if way else wider[these]
        for k, image in zip(these.tolist(), np.rot90(seen, turns, axes=(1, 2))):
            down, right = offsets[k]
            moved[k] = image[down : down + rows, right : right + columns]
    return moved
