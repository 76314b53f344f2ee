"""AUC and curves are scikit-learn's, with ties, weights and one-sided data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as sk

from lungdx_paddle.evaluation.ranking import auc, threshold_counts, weighted_auc

SEEDS = range(8)


def drawn(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Both kinds, with tied scores."""
    random = np.random.default_rng(seed)
    positive = random.random(50) < 0.3
    positive[:2] = True, False
    return positive, random.integers(0, 9, 50) / 9


@pytest.mark.parametrize("seed", SEEDS)
def test_auc_and_curves_with_ties_are_scikit_learns(seed: int) -> None:
    positive, scores = drawn(seed)
    assert auc(positive, scores) == pytest.approx(sk.roc_auc_score(positive, scores))
    points = threshold_counts(positive, scores)
    false_rate, true_rate, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    assert np.allclose(points.false_positive_rate, false_rate)
    assert np.allclose(points.recall, true_rate)
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    # scikit-learn runs from the lowest threshold to the highest.
    assert np.allclose((points.recall, points.precision), (recall[::-1], precision[::-1]))


def test_a_weight_counts_an_item_so_often() -> None:
    positive, scores = drawn(0)
    weights = np.random.default_rng(1).integers(0, 4, (20, 50))
    for row, value in zip(weights, weighted_auc(positive, scores, weights.astype(float))):
        repeated = np.repeat(np.arange(50), row)
        assert value == pytest.approx(auc(positive[repeated], scores[repeated]), abs=1e-14)


def test_one_side_alone_has_no_auc() -> None:
    scores = np.array([0.1, 0.2])
    for one_class in (np.array([True, True]), np.array([False, False])):
        assert auc(one_class, scores) is None
    assert auc(np.zeros(0, bool), np.zeros(0)) is None
    points = threshold_counts(np.array([False, False]), scores)
    assert np.isnan(points.recall).all() and not np.isnan(points.false_positive_rate).any()


def test_thinned_points_keep_both_ends() -> None:
    points = threshold_counts(*drawn(3)).thinned(4)
    assert len(points.true_positives) <= 4
    assert (points.recall[0], points.recall[-1]) == (0, 1)
    assert (points.false_positive_rate[0], points.false_positive_rate[-1]) == (0, 1)


def test_thinned_points_lie_evenly() -> None:
    scores = np.random.default_rng(0).random(1000)
    points = threshold_counts(scores > 0.4, scores).thinned(5)
    predicted = points.true_positives + points.false_positives
    assert predicted.tolist() == [0, 250, 500, 750, 1000]
