"""Intervals cover, tests find what is there and nothing else, corrections are Holm's."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.evaluation.counts import accuracy_of
from lungdx_paddle.evaluation.intervals import (
    RESAMPLES,
    bootstrap,
    bootstrap_auc,
    holm,
    paired_test,
    resample,
)
from lungdx_paddle.evaluation.ranking import auc, pair_counts


def patients(random: np.random.Generator, count: int, mean: float = 0.7) -> np.ndarray:
    """(patients, 2, 2) counts: each has a chance of his own, so his images are alike."""
    chance = random.beta(8 * mean, 8 * (1 - mean), count)
    images = random.integers(1, 12, count)
    right = random.binomial(images, chance)
    counts = np.zeros((count, 2, 2), dtype=np.int64)
    counts[:, 0, 0], counts[:, 0, 1] = right, images - right
    return counts


def test_the_interval_over_patients_covers_the_truth() -> None:
    random = np.random.default_rng(0)
    spans = [bootstrap(patients(random, 80), accuracy_of, seed) for seed in range(150)]
    covered = np.mean([low <= 0.7 <= high for low, high in spans])
    assert 0.89 <= covered <= 0.99


def test_a_bootstrap_repeats_and_draws_as_many_patients_as_there_are() -> None:
    counts = patients(np.random.default_rng(1), 20)
    assert bootstrap(counts, accuracy_of, 3) == bootstrap(counts, accuracy_of, 3)
    assert bootstrap(counts, accuracy_of, 3) != bootstrap(counts, accuracy_of, 4)
    assert resample(20).shape == (RESAMPLES, 20)
    assert (resample(20).sum(axis=1) == 20).all()


def test_the_auc_of_a_resample_is_the_auc_of_its_patients_scores() -> None:
    random = np.random.default_rng(2)
    positive, scores = random.random(40) < 0.5, random.integers(0, 6, 40) / 6
    group = random.integers(0, 10, 40)
    wins, pairs = pair_counts(positive, scores, group, 10)
    drawn = resample(10)[0]
    repeated = np.repeat(np.arange(40), drawn[group].astype(int))
    expected = auc(positive[repeated], scores[repeated])
    assert (drawn @ wins @ drawn) / (drawn @ pairs @ drawn) == pytest.approx(expected)
    low, high = bootstrap_auc(wins, pairs)
    assert low < auc(positive, scores) < high


def test_one_patient_or_one_class_has_no_interval() -> None:
    assert bootstrap(patients(np.random.default_rng(0), 1), accuracy_of) is None
    assert bootstrap(np.zeros((5, 2, 2)), accuracy_of) is None
    assert bootstrap_auc(*pair_counts(np.ones(3, bool), np.arange(3.0), np.arange(3), 3)) is None


@pytest.mark.parametrize("count", [5, 200])
def test_identical_methods_have_p_1(count: int) -> None:
    scores = np.random.default_rng(0).random(count)
    assert paired_test(scores, scores) == 1.0


def test_the_test_is_exact_for_few_patients() -> None:
    # All six better by the same: only the two one-sided flips of 2^6 reach it.
    assert paired_test(np.full(6, 0.8), np.full(6, 0.7)) == 2 / 64
    assert paired_test(np.array([1.0]), np.array([0.0])) == 1.0
    assert paired_test(np.zeros(0), np.zeros(0)) is None


def test_the_test_is_even_without_a_difference_and_small_with_one() -> None:
    random = np.random.default_rng(0)
    equal = [paired_test(*random.random((2, 12)), seed=s) for s in range(200)]
    assert np.mean(np.array(equal) < 0.05) < 0.1
    first = random.random(100)
    p = paired_test(first + 0.2 + random.normal(0, 0.1, 100), first)
    assert p is not None and 0 < p < 0.001


def test_scores_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_test(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="not a number"):
        paired_test(np.array([np.nan]), np.zeros(1))


def test_holm_multiplies_by_what_is_left_never_falls_and_skips_what_is_missing() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
