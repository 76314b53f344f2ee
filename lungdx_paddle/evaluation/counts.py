"""Counts of true class against predicted class, and the numbers that follow from them.

Every function of counts works on (..., classes, classes) arrays, so that thousands of
resamples go through it at once; where the counts do not define a number it gives NaN,
which :func:`number` turns to None before anything leaves the package.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) int64 counts, rows the true and columns the predicted class.

    Args:
        labels: (n,) classes, -1 for no label.
        predictions: (n,) classes.
        classes: how many there are.
    """
    return group_confusion(labels, predictions, classes, np.zeros(len(labels), dtype=int), 1)[0]


def group_confusion(
    labels: np.ndarray, predictions: np.ndarray, classes: int, group: np.ndarray, groups: int
) -> np.ndarray:
    """(groups, classes, classes) counts; ``group`` is (n,) whole numbers from 0."""
    counts = np.zeros((groups, classes, classes), dtype=np.int64)
    known = labels >= 0
    np.add.at(counts, (group[known], labels[known], predictions[known]), 1)
    return counts


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below``, NaN where ``below`` is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def number(value: float | np.ndarray) -> float | None:
    """A float, or None for what is not a finite number."""
    return float(value) if np.isfinite(value) else None


def accuracy_of(counts: np.ndarray) -> np.ndarray:
    """Part of the counts on the diagonal."""
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def within_one_of(counts: np.ndarray) -> np.ndarray:
    """Part of the counts at most one level off the diagonal."""
    near = np.sqrt(_squared_distance(counts.shape[-1])) <= 1
    return ratio((counts * near).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def quadratic_kappa_of(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychol. Bull. 70:213).

    1 - (observed / expected squared distance); undefined where both sides are one and the
    same class throughout.
    """
    weights = _squared_distance(counts.shape[-1])
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = rows[..., :, None] * columns[..., None, :] * weights
    observed = (counts * weights).sum(axis=(-2, -1)) * counts.sum(axis=(-2, -1))
    return 1.0 - ratio(observed, expected.sum(axis=(-2, -1)))


def balanced_accuracy_of(counts: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have a label (Brodersen et al. 2010, ICPR)."""
    recall = ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1))
    return _mean_of_known(recall)


def macro_f1_of(counts: np.ndarray) -> np.ndarray:
    """Mean F1 = 2 TP / (2 TP + FP + FN) of the classes that are labelled or predicted."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_of_known(ratio(2 * right, counts.sum(axis=-1) + counts.sum(axis=-2)))


MALIGNANCY_SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": accuracy_of,
    "within_one": within_one_of,
    "quadratic_kappa": quadratic_kappa_of,
}
"""Of levels that have an order."""

PATHOLOGY_SCORES: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "accuracy": accuracy_of,
    "balanced_accuracy": balanced_accuracy_of,
    "macro_f1": macro_f1_of,
}
"""Of classes that have none."""


def _squared_distance(classes: int) -> np.ndarray:
    level = np.arange(classes)
    return (level[:, None] - level) ** 2


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))
