"""Test-retest: how far the answers about nodules move when their crops are cut another way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.counts import number
from lungdx_paddle.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Movement:
    """How far the malignancy answers of nodules move; None where nothing was cut again."""

    nodules: int
    answers: int
    """A nodule's answers are compared once for each way in which its crops were cut again."""
    level_changed: float | None
    """Share of the answers that give another level."""
    mean_change: float | None
    """Of the expected level, without sign."""
    percentile_95: float | None
    """Of the same: one answer in twenty moves farther."""


def movement(pairs: Sequence[tuple[Predictions, Predictions]]) -> Movement:
    """Compare answers by nodule: the mean over its slices, cuts applied where there are some.

    Args:
        pairs: (before, after) of the same rows; a pair for each way of cutting again, of the
            slices on which that is possible.
    """
    changed, moved, names = [np.zeros(0, bool)], [np.zeros(0)], set()
    for pair in pairs:
        before, after = (predictions.pooled("nodule") for predictions in pair)
        changed.append(before.classes[MALIGNANCY] != after.classes[MALIGNANCY])
        moved.append(np.abs(before.expected_levels - after.expected_levels))
        names |= {row.nodule_key for row in before.rows}
    each = np.concatenate(moved)
    if not len(each):
        return Movement(0, 0, None, None, None)
    return Movement(
        nodules=len(names),
        answers=len(each),
        level_changed=number(np.concatenate(changed).mean()),
        mean_change=number(each.mean()),
        percentile_95=number(np.percentile(each, 95)),
    )
