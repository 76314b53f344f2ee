"""Scores of a confusion matrix are scikit-learn's, and undefined where nothing is counted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn import metrics as sk

from lungdx_paddle.evaluation import counts
from lungdx_paddle.evaluation.counts import confusion, group_confusion, number, numbered

SEEDS = range(8)
EVERY_SCORE = {f for task in counts.SCORES.values() for f in task.values()}


def drawn(seed: int, classes: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions; with odd seeds some classes never come."""
    random = np.random.default_rng(seed)
    top = classes - 2 if seed % 2 else classes
    return random.integers(0, top, 60), random.integers(0, classes, 60)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true:UserWarning")
def test_scores_are_those_of_scikit_learn(seed: int) -> None:
    labels, guess = drawn(seed)
    every = list(range(5))
    matrix = confusion(labels, guess, 5)
    assert np.array_equal(matrix, sk.confusion_matrix(labels, guess, labels=every))
    expected = {
        counts.accuracy: sk.accuracy_score(labels, guess),
        counts.within_one: (abs(labels - guess) <= 1).mean(),
        counts.quadratic_kappa: sk.cohen_kappa_score(
            labels, guess, weights="quadratic", labels=every
        ),
        counts.mae: sk.mean_absolute_error(labels, guess),
        counts.balanced_accuracy: sk.balanced_accuracy_score(labels, guess),
        counts.macro_f1: sk.f1_score(labels, guess, average="macro"),
    }
    assert set(expected) == EVERY_SCORE
    for score, value in expected.items():
        assert score(matrix) == pytest.approx(value), score.__name__


@pytest.mark.parametrize(
    "score", sorted(EVERY_SCORE, key=lambda score: score.__name__), ids=lambda score: score.__name__
)
def test_many_matrices_are_scored_at_once_and_an_empty_one_has_no_number(
    score: Callable[[np.ndarray], np.ndarray],
) -> None:
    matrices = np.stack([confusion(*drawn(seed), 5) for seed in SEEDS] + [np.zeros((5, 5), int)])
    together = score(matrices)
    assert together[:-1] == pytest.approx([float(score(matrix)) for matrix in matrices[:-1]])
    assert number(together[-1]) is None


def test_unlabelled_images_do_not_count() -> None:
    labels, guess = drawn(0)
    padded = confusion(np.append(labels, [-1, -1]), np.append(guess, [0, 1]), 5)
    assert np.array_equal(padded, confusion(labels, guess, 5))


def test_the_groups_matrices_sum_to_the_whole() -> None:
    labels, guess = drawn(1)
    group, groups = numbered([f"P{i // 7}" for i in range(60)])
    by_group = group_confusion(labels, guess, 5, group, groups)
    assert by_group.shape == (9, 5, 5) and (by_group.sum(axis=(1, 2))[:-1] == 7).all()
    assert np.array_equal(by_group.sum(axis=0), confusion(labels, guess, 5))


def test_kappa_of_one_class_throughout_is_undefined_and_of_two_constants_is_zero() -> None:
    ones = np.ones(4, dtype=int)
    assert number(counts.quadratic_kappa(confusion(ones, ones, 5))) is None
    assert counts.quadratic_kappa(confusion(ones, 2 * ones, 5)) == 0.0


def test_the_ranked_probability_score_is_that_of_its_definition() -> None:
    random = np.random.default_rng(0)
    labels, probabilities = random.integers(-1, 5, 30), random.dirichlet(np.ones(5), 30)
    expected = []
    for label, p in zip(labels.tolist(), probabilities.tolist()):
        steps = [(sum(p[: k + 1]) - (label <= k)) ** 2 for k in range(4)]
        expected += [sum(steps) / 4] if label >= 0 else []
    sums = counts.ranked_sums(labels, probabilities, np.arange(30) % 3, 3)
    assert counts.mean_of_sums(sums.sum(axis=0)) == pytest.approx(np.mean(expected))
    assert sums[:, 1].sum() == len(expected) < 30


@pytest.mark.parametrize("off", range(5))
def test_a_sure_answer_has_the_ranked_probability_score_of_its_distance(off: int) -> None:
    sure = counts.ranked_sums(np.array([0]), np.eye(5)[[off]], np.zeros(1, int), 1)
    assert counts.mean_of_sums(sums=sure[0]) == off / 4
    two_classes = counts.ranked_sums(np.array([1]), np.array([[0.3, 0.7]]), np.zeros(1, int), 1)
    assert counts.mean_of_sums(two_classes[0]) == pytest.approx(0.3**2)  # Brier's
