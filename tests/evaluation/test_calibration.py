"""The reliability curve is scikit-learn's, and its gaps make the calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from lungdx_paddle.evaluation.calibration import BINS, bin_sums, ece, reliability_curve
from lungdx_paddle.evaluation.counts import number


def sums(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of all images together."""
    return bin_sums(labels, probabilities, np.zeros(len(labels), dtype=int), 1)[0]


@pytest.mark.parametrize("seed", range(8))
def test_the_reliability_curve_is_scikit_learns_and_its_gaps_make_the_error(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), 200)
    labels = random.integers(0, 4, 200)
    curve = reliability_curve(sums(labels, probabilities))
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=BINS)
    assert np.allclose([b["accuracy"] for b in curve], accuracy)
    assert np.allclose([b["confidence"] for b in curve], confidence)
    gaps = [b["images"] * abs(b["accuracy"] - b["confidence"]) for b in curve]
    assert ece(sums(labels, probabilities)) == pytest.approx(sum(gaps) / 200)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not() -> None:
    sure = np.eye(3)
    assert ece(sums(np.array([0, 1, 2]), sure)) == 0.0
    assert ece(sums(np.array([1, 2, 0]), sure)) == 1.0


def test_nothing_labelled_has_no_error_and_no_curve() -> None:
    nothing = sums(np.array([-1, -1, -1]), np.eye(3))
    assert number(ece(nothing)) is None
    assert reliability_curve(nothing) == ()
