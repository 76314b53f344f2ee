"""How well a score ranks malignant above benign: AUC, ROC and precision-recall points."""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

from lungdx_paddle.evaluation.confusion import number, ratio


def auc(positive: np.ndarray, scores: np.ndarray) -> Optional[float]:
    """Area under the ROC curve: the chance that a positive scores above a negative.

    Mann and Whitney's U over its maximum, a tie counting half (Hanley & McNeil 1982,
    Radiology 143:29).  None where one of the two sides is empty.

    Args:
        positive: (n,) bool.
        scores: (n,) numbers, higher for positive.
    """
    wins, pairs = pair_counts(positive, scores, np.zeros(len(scores), dtype=int), 1)
    return number(ratio(wins, pairs)[0, 0])


def pair_counts(
    positive: np.ndarray, scores: np.ndarray, group: np.ndarray, groups: int
) -> Tuple[np.ndarray, np.ndarray]:
    """Won and all pairs of a positive of one group with a negative of another or the same.

    Their sums over resampled groups give the resample's AUC without ranking it again.

    Args:
        positive: (n,) bool.
        scores: (n,) numbers.
        group: (n,) whole numbers from 0 to ``groups`` - 1.
        groups: how many groups.

    Returns:
        Two (groups of the positive, groups of the negative) arrays, ties counted half.
    """
    above, below = scores[positive][:, None], scores[~positive]
    won = (above > below) + 0.5 * (above == below)
    to_row = (np.arange(groups)[:, None] == group[positive]).astype(float)
    to_column = (np.arange(groups)[:, None] == group[~positive]).astype(float)
    pairs = np.outer(to_row.sum(axis=1), to_column.sum(axis=1))
    return to_row @ won @ to_column.T, pairs


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), a point a score.

    None where one of the two sides is empty.
    """
    right, wrong = _running_counts(positive, scores)
    if right[-1] == 0 or wrong[-1] == 0:
        return None
    return wrong / wrong[-1], right / right[-1]


def pr_curve(positive: np.ndarray, scores: np.ndarray) -> Optional[Tuple[np.ndarray, np.ndarray]]:
    """(recall, precision), recall rising from 0, where precision is 1 by convention.

    None without a positive.
    """
    right, wrong = _running_counts(positive, scores)
    if right[-1] == 0:
        return None
    precision = np.concatenate([[1.0], right[1:] / (right[1:] + wrong[1:])])
    return right / right[-1], precision


def _running_counts(positive: np.ndarray, scores: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    """True and false positives at every distinct threshold, highest first, after a (0, 0)."""
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], positive[order].astype(bool)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    right = np.concatenate([[0], np.cumsum(hit)[last]])
    wrong = np.concatenate([[0], np.cumsum(~hit)[last]])
    return right, wrong
