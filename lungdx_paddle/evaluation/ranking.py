"""How well a score ranks positives above negatives: AUC, ROC and precision-recall curves."""

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
    return number(weighted_auc(positive, scores, np.ones((1, len(scores))))[0])


def weighted_auc(positive: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC under many weightings of the same items, exact, from one sorting.

    Args:
        positive: (n,) bool.
        scores: (n,) numbers, higher for positive.
        weights: (m, n) how often each item counts, such as in each of m resamples.

    Returns:
        (m,), NaN where one of the two sides weighs nothing.
    """
    order = np.argsort(scores[~positive], kind="stable")
    ranked = scores[~positive][order]
    of_positive, of_negative = weights[:, positive], weights[:, ~positive][:, order]
    below = np.zeros((len(weights), len(ranked) + 1))
    np.cumsum(of_negative, axis=1, out=below[:, 1:])
    # Negatives below a positive win for it once, equal ones half: the mean of both counts.
    lower, upper = (np.searchsorted(ranked, scores[positive], side) for side in ("left", "right"))
    wins = (of_positive * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
    return ratio(wins, of_positive.sum(axis=1) * of_negative.sum(axis=1))


@dataclass(frozen=True)
class ThresholdCounts:
    """True and false positives as a threshold falls from above every score to the lowest."""

    true_positives: np.ndarray
    """(points,) int64, rising from 0 to all positives."""
    false_positives: np.ndarray
    """(points,) int64, rising from 0 to all negatives."""

    @property
    def recall(self) -> np.ndarray:
        """(points,) true positive rate; NaN without a positive."""
        return ratio(self.true_positives, self.true_positives[-1])

    @property
    def false_positive_rate(self) -> np.ndarray:
        """(points,) false positive rate; NaN without a negative."""
        return ratio(self.false_positives, self.false_positives[-1])

    @property
    def precision(self) -> np.ndarray:
        """(points,) share of the predicted positives that are; 1, by convention, of none."""
        predicted = self.true_positives + self.false_positives
        return np.concatenate([[1.0], ratio(self.true_positives, predicted)[1:]])

    def thinned(self, most: int) -> ThresholdCounts:
        """At most ``most`` points, both ends included, evenly spaced by predicted positives."""
        predicted = self.true_positives + self.false_positives
        kept = np.unique(np.searchsorted(predicted, np.linspace(0, predicted[-1], most)))
        return ThresholdCounts(self.true_positives[kept], self.false_positives[kept])


def threshold_counts(positive: np.ndarray, scores: np.ndarray) -> ThresholdCounts:
    """The counts at every distinct score, after those of a threshold above all scores.

    Args:
        positive: (n,) bool.
        scores: (n,) numbers, higher for positive.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], positive[order].astype(bool)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True)[: len(ranked)])
    true_positives = np.concatenate([[0], np.cumsum(hit)[last]])
    return ThresholdCounts(true_positives, np.concatenate([[0], np.cumsum(~hit)[last]]))
