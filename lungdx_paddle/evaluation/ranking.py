"""How well a score ranks malignant above benign: AUC, ROC and precision-recall points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungdx_paddle.evaluation.counts import number, ratio


def auc(positive: np.ndarray, scores: np.ndarray) -> float | None:
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
) -> tuple[np.ndarray, np.ndarray]:
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


def roc_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(false positive rate, true positive rate) from (0, 0) to (1, 1), a point a score.

    None where one of the two sides is empty.
    """
    calls = calls_by_threshold(positive, scores)
    if calls.right[-1] == 0 or calls.wrong[-1] == 0:
        return None
    return calls.false_positive_rate, calls.recall


def pr_curve(positive: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """(recall, precision), recall rising from 0, where precision is 1 by convention.

    None without a positive.
    """
    calls = calls_by_threshold(positive, scores)
    if calls.right[-1] == 0:
        return None
    return calls.recall, calls.precision


@dataclass(frozen=True)
class Calls:
    """Who is called positive as a threshold falls: at first nobody, at last everybody."""

    right: np.ndarray
    """(points,) int64, true positives, rising from 0 to all positives."""
    wrong: np.ndarray
    """(points,) int64, false positives, rising from 0 to all negatives."""

    @property
    def recall(self) -> np.ndarray:
        """(points,) part of the positives that is called, also the true positive rate."""
        return ratio(self.right, self.right[-1])

    @property
    def false_positive_rate(self) -> np.ndarray:
        """(points,) part of the negatives that is called."""
        return ratio(self.wrong, self.wrong[-1])

    @property
    def precision(self) -> np.ndarray:
        """(points,) part of the called that is positive; 1, by convention, of nobody."""
        return np.concatenate([[1.0], ratio(self.right, self.right + self.wrong)[1:]])

    def thinned(self, most: int) -> Calls:
        """At most ``most`` of the points, the ends among them, evenly by how many are called."""
        called = self.right + self.wrong
        kept = np.unique(np.searchsorted(called, np.linspace(0, called[-1], most)))
        return Calls(self.right[kept], self.wrong[kept])


def calls_by_threshold(positive: np.ndarray, scores: np.ndarray) -> Calls:
    """The calls at every distinct score, after those of nobody.

    Args:
        positive: (n,) bool.
        scores: (n,) numbers, higher for positive.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], positive[order].astype(bool)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    right = np.concatenate([[0], np.cumsum(hit)[last]])
    wrong = np.concatenate([[0], np.cumsum(~hit)[last]])
    return Calls(right, wrong)
