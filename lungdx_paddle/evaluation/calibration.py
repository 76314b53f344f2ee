"""Reliability curve and expected calibration error of the predicted class's probability."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lungdx_paddle.evaluation.counts import ratio

BINS = 15
"""Equal parts of the confidence from 0 to 1 (Guo et al. 2017, ICML, use 15)."""


def bin_sums(
    labels: np.ndarray, probabilities: np.ndarray, group: np.ndarray, groups: int
) -> np.ndarray:
    """(groups, 3, BINS): count, summed confidence and right answers in (low, high] bins.

    Args:
        labels: (n,) classes, -1 for no label.
        probabilities: (n, classes).
        group: (n,) whole numbers from 0 to ``groups`` - 1, such as the patient's.
        groups: how many groups.
    """
    known = labels >= 0
    confidence = probabilities[known].max(axis=1)
    right = probabilities[known].argmax(axis=1) == labels[known]
    # Inner edges only: rounding must not push a confidence of 1 into a bin of its own.
    edges = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    position = np.searchsorted(edges, confidence, side="left")
    sums = np.zeros((groups, 3, BINS))
    for kind, values in enumerate((np.ones(len(right)), confidence, right)):
        np.add.at(sums[:, kind], (group[known], position), values)
    return sums


def ece(sums: np.ndarray) -> np.ndarray:
    """Expected calibration error of (..., 3, BINS) sums, NaN where they are empty.

    The mean over images of |confidence - accuracy| of their bin (Guo et al. 2017).
    """
    count, confidence, right = (sums[..., kind, :] for kind in range(3))
    return ratio(np.abs(confidence - right).sum(axis=-1), count.sum(axis=-1))


def reliability_curve(sums: np.ndarray) -> tuple[Mapping[str, int | float], ...]:
    """The bins of (3, BINS) sums that hold an image, by rising confidence.

    Returns:
        Mappings of ``images``, ``confidence`` (mean) and ``accuracy`` (share that is right).
    """
    return tuple(
        {"images": int(n), "confidence": float(c / n), "accuracy": float(r / n)}
        for n, c, r in sums.T
        if n
    )
