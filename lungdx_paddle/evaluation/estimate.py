"""A number with its interval, ready for JSON.

An estimate is ``{"value": float, "interval": [low, high] or None, "patients": int}``: a 95 %
bootstrap interval over patients.  A number that the data do not define has the value
``None`` and a ``"why"`` in words; it is never NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from lungdx_paddle.evaluation.counts import number, ratio
from lungdx_paddle.evaluation.intervals import Interval, bootstrap, bootstrap_auc
from lungdx_paddle.evaluation.ranking import pair_counts

Statistic = Callable[[np.ndarray], np.ndarray]
"""(..., *shape) sums over patients -> (...) numbers, NaN where undefined."""


def numbered(names: Sequence[Hashable]) -> tuple[np.ndarray, int]:
    """(n,) whole numbers from 0 in the order of first appearance, and how many differ."""
    order: dict[Hashable, int] = {}
    numbers = [order.setdefault(name, len(order)) for name in names]
    return np.array(numbers, dtype=np.int64), len(order)


def estimate(sums: np.ndarray, statistic: Statistic, why: str, seed: int = 0) -> dict[str, Any]:
    """A statistic of all patients with its interval.

    Args:
        sums: (patients, ...) what each patient adds.
        statistic: of the sums.
        why: said where the value is undefined.
        seed: of the bootstrap.
    """
    value = number(statistic(sums.sum(axis=0)))
    span = None if value is None else bootstrap(sums, statistic, seed)
    return _entry(value, span, len(sums), why)


def estimates(
    counts: np.ndarray, scores: Mapping[str, Statistic], why: str, seed: int = 0
) -> dict[str, Any]:
    """{name: estimate} of several statistics of (patients, classes, classes) counts.

    ``why`` is said where nothing is counted.
    """
    one_class = "all labels and predictions are of one class"
    counts = counts[counts.sum(axis=(1, 2)) > 0]
    return {
        name: estimate(counts, score, one_class if len(counts) else why, seed)
        for name, score in scores.items()
    }


def auc_estimate(
    positive: np.ndarray, scores: np.ndarray, patients: Sequence[Hashable], seed: int = 0
) -> dict[str, Any]:
    """AUC with its interval and how many are benign and malignant.

    Args:
        positive: (n,) bool, malignant.
        scores: (n,) numbers, higher for malignant.
        patients: (n,) whose each is.
        seed: of the bootstrap.
    """
    group, groups = numbered(patients)
    wins, pairs = pair_counts(positive, scores, group, groups)
    value = number(ratio(wins.sum(), pairs.sum()))
    malignant = int(positive.sum())
    benign = len(positive) - malignant
    why = f"an AUC needs both: {benign} benign, {malignant} malignant"
    span = None if value is None else bootstrap_auc(wins, pairs, seed)
    return {**_entry(value, span, groups, why), "benign": benign, "malignant": malignant}


def _entry(value: float | None, span: Interval, patients: int, why: str) -> dict[str, Any]:
    entry: dict[str, Any] = {"value": value, "interval": list(span) if span else None}
    entry["patients"] = patients
    if value is None:
        entry["why"] = why
    elif span is None:
        entry["why"] = "too few patients for an interval"
    return entry
