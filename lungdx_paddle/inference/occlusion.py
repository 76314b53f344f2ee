"""Which pixels speak for an answer: what falls when a patch of the crop is covered.

Occlusion (Zeiler, Fergus 2014, ECCV) asks the model alone, by any runtime and without gradients.
A patch shows what takes its place, so it is what lies about a nodule: lung.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.calibration import expected_level
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.preprocess.crop import PAPER
from lungdx_paddle.preprocess.window import LUNG_HU, apply_window

PATCH_PX = 5
"""Side of a patch: of context crops 5 mm, less than most nodules have and more than a vessel."""

STEP_PX = 3
"""From patch to patch: with it the 100 patches end at the crop's edge, and overlap."""

MOST_SLICES = 3
"""Of a nodule, the middle ones, which count most: each takes 100 answers of the model, and an
ensemble of ten networks gives some 30 to 100 a second."""


def occlusion_maps(
    predictor: Predictor, images: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """How much the answer falls where a pixel is covered, for each task.

    A patch is covered on all images at once, since the answer is theirs together.  A pixel has
    the mean of the patches that it lies in.

    Args:
        predictor: the model.
        images: (n, 32, 32) uint8 crops of one nodule, one or more.
        weights: (n,) how much each counts for the answer, with a sum of 1.

    Returns:
        {task: (32, 32) float64}; above 0 where the pixel speaks for the answer: of malignancy how
        much the expected level falls, of pathology the probability of the likeliest class.

    Raises:
        CheckpointError: the model's crops show their surroundings, and their gray values were no
            HU, so that none is lung's.
    """
    starts = range(0, CROP_SIZE - PATCH_PX + 1, STEP_PX)
    patches = [(slice(y, y + PATCH_PX), slice(x, x + PATCH_PX)) for y in starts for x in starts]
    covered = np.repeat(images[np.newaxis], 1 + len(patches), axis=0)  # the first one stays
    gray = _cover(predictor)
    for stack, (rows, columns) in zip(covered[1:], patches):
        stack[:, rows, columns] = gray
    found = predictor.probabilities(covered.reshape(-1, CROP_SIZE, CROP_SIZE))
    return {
        task: _map(task, weights @ p.reshape(*covered.shape[:2], -1), patches)
        for task, p in found.items()
    }


def _map(task: str, p: np.ndarray, patches: list[tuple[slice, slice]]) -> np.ndarray:
    """(32, 32) map of (1 + patches, classes) probabilities, the first ones without a patch."""
    answers = expected_level(p) if task == MALIGNANCY else p[:, p[0].argmax()]
    falls, times = np.zeros((2, CROP_SIZE, CROP_SIZE))
    for patch, answer in zip(patches, answers[1:]):
        falls[patch] += answers[0] - answer
        times[patch] += 1
    return falls / times


def _cover(predictor: Predictor) -> int:
    """Gray value of what lies about a nodule in the model's crops."""
    if predictor.crop_rule == PAPER:
        return 0
    return int(apply_window(np.array(LUNG_HU), *predictor.window))


def explained(predictor: Predictor, finding: Finding) -> Finding:
    """The finding with maps of its :data:`MOST_SLICES` middle slices; as it is without a slice.

    Raises:
        CheckpointError: as :func:`occlusion_maps`.
    """
    if finding.images is None:
        return finding
    first = max(0, (len(finding.images) - MOST_SLICES + 1) // 2)
    images = finding.images[first : first + MOST_SLICES]
    maps: Mapping[str, np.ndarray] = occlusion_maps(
        predictor, images, slice_weights(np.arange(float(len(images))).tolist())
    )
    return replace(finding, occlusion=maps)
