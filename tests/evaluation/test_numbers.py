"""Our numbers are scikit-learn's, and None where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from lungdx_paddle.evaluation import metrics
from lungdx_paddle.evaluation.calibration import BINS, ece, reliability_curve
from lungdx_paddle.evaluation.counts import confusion
from lungdx_paddle.evaluation.ranking import auc, pr_curve, roc_curve

NONE = np.array([-1, -1])
SEEDS = range(8)


def drawn(seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions; with odd seeds some classes never come."""
    random = np.random.default_rng(seed)
    top = classes - 2 if seed % 2 else classes
    return random.integers(0, top, 60), random.integers(0, classes, 60)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
def test_numbers_of_classes_are_those_of_scikit_learn(seed: int) -> None:
    labels, guess = drawn(seed)
    every = list(range(5))
    assert np.array_equal(
        confusion(labels, guess, 5), sk.confusion_matrix(labels, guess, labels=every)
    )
    assert metrics.accuracy(labels, guess) == pytest.approx(sk.accuracy_score(labels, guess))
    assert metrics.within_one(labels, guess, 5) == pytest.approx((abs(labels - guess) <= 1).mean())
    kappa = sk.cohen_kappa_score(labels, guess, weights="quadratic", labels=every)
    assert metrics.quadratic_kappa(labels, guess, 5) == pytest.approx(kappa)
    balanced = sk.balanced_accuracy_score(labels, guess)
    assert metrics.balanced_accuracy(labels, guess, 5) == pytest.approx(balanced)
    assert metrics.macro_f1(labels, guess, 5) == pytest.approx(
        sk.f1_score(labels, guess, average="macro")
    )


def test_unlabelled_images_do_not_count() -> None:
    labels, guess = drawn(0)
    padded = np.append(labels, NONE), np.append(guess, [0, 1])
    for score in (metrics.quadratic_kappa, metrics.macro_f1, metrics.balanced_accuracy):
        assert score(*padded, 5) == score(labels, guess, 5)


@pytest.mark.parametrize(
    "score",
    [metrics.within_one, metrics.quadratic_kappa, metrics.balanced_accuracy, metrics.macro_f1],
)
def test_nothing_labelled_has_no_number(score: Callable[..., float | None]) -> None:
    assert score(NONE, np.array([0, 1]), 5) is None


def test_kappa_of_one_class_throughout_is_undefined_and_of_two_constants_is_zero() -> None:
    ones = np.ones(4, dtype=int)
    assert metrics.quadratic_kappa(ones, ones, 5) is None
    assert metrics.quadratic_kappa(ones, 2 * ones, 5) == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_ranking_with_ties_is_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    positive = random.random(50) < 0.3
    positive[:2] = True, False
    scores = random.integers(0, 9, 50) / 9
    assert auc(positive, scores) == pytest.approx(sk.roc_auc_score(positive, scores))
    false_rate, true_rate, _ = sk.roc_curve(positive, scores, drop_intermediate=False)
    assert np.allclose(roc_curve(positive, scores), (false_rate, true_rate))
    precision, recall, _ = sk.precision_recall_curve(positive, scores)
    ours = pr_curve(positive, scores)
    # scikit-learn runs from the lowest threshold to the highest.
    assert np.allclose(ours, (recall[::-1], precision[::-1]))


def test_a_ranking_of_one_class_has_no_number() -> None:
    scores = np.array([0.1, 0.2])
    for one_class in (np.array([True, True]), np.array([False, False])):
        assert auc(one_class, scores) is None
        assert roc_curve(one_class, scores) is None
    assert pr_curve(np.array([False, False]), scores) is None
    assert auc(np.zeros(0, bool), np.zeros(0)) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_the_reliability_curve_is_scikit_learns_and_its_gaps_make_the_error(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), 200)
    labels = random.integers(0, 4, 200)
    curve = reliability_curve(labels, probabilities)
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=BINS)
    assert np.allclose([b["accuracy"] for b in curve], accuracy)
    assert np.allclose([b["confidence"] for b in curve], confidence)
    gaps = [b["images"] * abs(b["accuracy"] - b["confidence"]) for b in curve]
    assert ece(labels, probabilities) == pytest.approx(sum(gaps) / 200)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not() -> None:
    sure = np.eye(3)
    assert ece(np.array([0, 1, 2]), sure) == 0.0
    assert ece(np.array([1, 2, 0]), sure) == 1.0
    assert ece(np.array([-1, -1, -1]), sure) is None
    assert reliability_curve(np.array([-1, -1, -1]), sure) == []
