"""Confusion matrices and the scores that follow from them.

Every score takes (..., classes, classes) counts, rows the true and columns the predicted
class, so that thousands of bootstrap resamples go through it at once.  Where the counts do
not define it, it is NaN, which :func:`number` turns to None before it leaves the package.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY


def confusion(labels: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Confusion matrix: (classes, classes) int64 counts.

    Args:
        labels: (n,) classes, -1 for no label.
        predictions: (n,) classes.
        classes: how many there are.
    """
    return group_confusion(labels, predictions, classes, np.zeros(len(labels), dtype=int), 1)[0]


def group_confusion(
    labels: np.ndarray, predictions: np.ndarray, classes: int, group: np.ndarray, groups: int
) -> np.ndarray:
    """Confusion matrix of each group: (groups, classes, classes) int64.

    Args:
        labels: (n,) classes, -1 for no label.
        predictions: (n,) classes.
        classes: how many there are.
        group: (n,) whole numbers from 0 to ``groups`` - 1, such as the patient's.
        groups: how many groups.
    """
    counts = np.zeros((groups, classes, classes), dtype=np.int64)
    known = labels >= 0
    np.add.at(counts, (group[known], labels[known], predictions[known]), 1)
    return counts


def numbered(names: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    """Number values from 0 by first appearance: (n,) int64, and how many are distinct."""
    order: dict[Hashable, int] = {}
    numbers = [order.setdefault(name, len(order)) for name in names]
    return np.array(numbers, dtype=np.int64), len(order)


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below``, NaN where ``below`` is 0."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    return np.divide(above, below, out=np.full(above.shape, np.nan), where=below != 0)


def number(value: float | np.ndarray) -> float | None:
    """A float, or None for what is not a finite number."""
    return float(value) if np.isfinite(value) else None


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of the counts on the diagonal."""
    return ratio(np.trace(counts, axis1=-2, axis2=-1), counts.sum(axis=(-2, -1)))


def within_one(counts: np.ndarray) -> np.ndarray:
    """Share of the counts at most one level off the diagonal."""
    near = _squared_distance(counts.shape[-1]) <= 1
    return ratio((counts * near).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def mae(counts: np.ndarray) -> np.ndarray:
    """Mean absolute error: how many levels off the diagonal, on average."""
    distance = np.sqrt(_squared_distance(counts.shape[-1]))
    return ratio((counts * distance).sum(axis=(-2, -1)), counts.sum(axis=(-2, -1)))


def quadratic_kappa(counts: np.ndarray) -> np.ndarray:
    """Cohen's kappa with quadratic weights (Cohen 1968, Psychol. Bull. 70:213).

    1 - (observed / expected squared distance); undefined where all labels and predictions
    are of one class.
    """
    weights = _squared_distance(counts.shape[-1])
    rows, columns = counts.sum(axis=-1), counts.sum(axis=-2)
    expected = rows[..., :, None] * columns[..., None, :] * weights
    observed = (counts * weights).sum(axis=(-2, -1)) * counts.sum(axis=(-2, -1))
    return 1.0 - ratio(observed, expected.sum(axis=(-2, -1)))


def balanced_accuracy(counts: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that have a label (Brodersen et al. 2010, ICPR)."""
    return _mean_of_known(ratio(np.diagonal(counts, axis1=-2, axis2=-1), counts.sum(axis=-1)))


def macro_f1(counts: np.ndarray) -> np.ndarray:
    """Mean F1 = 2 TP / (2 TP + FP + FN) of the classes that are labelled or predicted."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    return _mean_of_known(ratio(2 * right, counts.sum(axis=-1) + counts.sum(axis=-2)))


SCORES: Mapping[str, Mapping[str, Callable[[np.ndarray], np.ndarray]]] = {
    MALIGNANCY: {
        "accuracy": accuracy,
        "within_one": within_one,
        "quadratic_kappa": quadratic_kappa,
        "mae": mae,
    },
    PATHOLOGY: {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
    },
}
"""{task: {score: function of counts}}: levels of malignancy have an order, classes have none."""


def ranked_sums(
    labels: np.ndarray, probabilities: np.ndarray, group: np.ndarray, groups: int
) -> np.ndarray:
    """(groups, 2): summed ranked probability scores, and how many labels they are of.

    The ranked probability score of K ordered classes (Epstein 1969, J. Appl. Meteorol. 8:985),
    in its negative form over K - 1 (Murphy 1971, J. Appl. Meteorol. 10:155): the sum over
    k < K of (P(class <= k) - [label <= k])^2, divided by K - 1.  0 is best; a sure answer d
    classes off has d / (K - 1).  :func:`mean_of_sums` makes the mean of them.

    Args:
        labels: (n,) classes, -1 for no label.
        probabilities: (n, classes), the classes in their order.
        group: (n,) whole numbers from 0 to ``groups`` - 1, such as the patient's.
        groups: how many groups.
    """
    known = labels >= 0
    steps = probabilities.shape[1] - 1
    reached = labels[known, np.newaxis] <= np.arange(steps)
    gap = np.cumsum(probabilities[known], axis=1, dtype=float)[:, :steps] - reached
    sums = np.zeros((groups, 2))
    np.add.at(sums, group[known], np.stack([(gap**2).sum(axis=1) / steps, known[known]], axis=1))
    return sums


def mean_of_sums(sums: np.ndarray) -> np.ndarray:
    """Means of (..., 2) sums and counts."""
    return ratio(sums[..., 0], sums[..., 1])


def _squared_distance(classes: int) -> np.ndarray:
    level = np.arange(classes)
    return (level[:, None] - level) ** 2


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    return ratio(np.where(known, values, 0.0).sum(axis=-1), known.sum(axis=-1))


def with_total(by_task: Mapping[str, float | None]) -> dict[str, float | None]:
    """``{"total": mean, **by_task}``, the mean over the tasks that have a number."""
    known = [value for value in by_task.values() if value is not None]
    return {"total": sum(known) / len(known) if known else None, **by_task}


def without(by_task: Mapping[str, float | None], few: Collection[str]) -> dict[str, float | None]:
    """Accuracies without those of some tasks, which their total does not rest on, either."""
    return with_total({t: None if t in few else v for t, v in by_task.items() if t != "total"})
