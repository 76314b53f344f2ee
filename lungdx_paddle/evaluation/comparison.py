"""Methods against each other on the same patients."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from lungdx_paddle.evaluation.counts import ratio
from lungdx_paddle.evaluation.estimate import numbered
from lungdx_paddle.evaluation.intervals import bootstrap, holm, paired_test


def compare_methods(
    right: Mapping[str, np.ndarray], patients: Sequence[Hashable], seed: int = 0
) -> list[dict[str, Any]]:
    """Every pair of methods: difference, interval, p of a paired test, p after Holm.

    A patient's score is the mean over what is judged of him (his labelled images or
    nodules), so each patient weighs the same.  The test flips the signs of the patients'
    differences (:func:`~lungdx_paddle.evaluation.intervals.paired_test`).

    Args:
        right: {method: (n,) 0 or 1, or any score, of the same n items in the same order}.
        patients: (n,) whose each item is.
        seed: of the bootstrap and the random flips.

    Returns:
        A dict a pair: ``first``, ``second``, ``difference`` (first - second, the mean over
        patients), ``interval``, ``p``, ``p_holm``, ``patients``.  Numbers are None where
        there is no patient, the interval where there are fewer than two.

    Raises:
        ValueError: a method's scores are not one an item, or not numbers.
    """
    group, count = numbered(patients)
    means = {name: _patient_means(name, values, group, count) for name, values in right.items()}
    rows: list[dict[str, Any]] = []
    for first, second in combinations(means, 2):
        apart = means[first] - means[second]
        span = bootstrap(np.stack([apart, np.ones(count)], axis=1), _mean, seed)
        rows.append(
            {
                "first": first,
                "second": second,
                "difference": float(apart.mean()) if count else None,
                "interval": list(span) if span else None,
                "p": paired_test(means[first], means[second], seed),
                "patients": count,
            }
        )
    for row, p in zip(rows, holm([row["p"] for row in rows])):
        row["p_holm"] = p
    return rows


def _mean(sums: np.ndarray) -> np.ndarray:
    return ratio(sums[..., 0], sums[..., 1])


def _patient_means(name: str, values: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
    if values.shape != group.shape or not np.isfinite(values.astype(float)).all():
        raise ValueError(f"{name}: expected {len(group)} numbers, found shape {values.shape}")
    return np.bincount(group, values, count) / np.bincount(group, minlength=count)
