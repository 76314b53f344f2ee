"""A mean over trainings has an error for other trainings on other patients."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lungdx_paddle.evaluation.intervals import BLOCK
from lungdx_paddle.evaluation.variance import POWER, CrossedMean, crossed_mean, leave_one_out


def of_table(table: np.ndarray, units: object = None) -> CrossedMean:
    """The mean of (trainings, patients) numbers, each training's number the mean over patients."""
    patients = table.shape[1]
    means = table.mean(axis=1)
    moved = (table.sum(axis=1, keepdims=True) - table) / (patients - 1) - means[:, np.newaxis]
    return crossed_mean(means, moved, list(units or range(len(table))), patients)


def drawn(
    random: np.random.Generator, shape: tuple[int, int], spreads: tuple[float, float, float]
) -> np.ndarray:
    """(trainings, patients) numbers about 0, with an effect of each training, patient and both."""
    of_training, of_patient, rest = spreads
    trainings, patients = shape
    effects = random.normal(0, of_training, (trainings, 1)) + random.normal(
        0, of_patient, (1, patients)
    )
    return effects + random.normal(0, rest, shape)


@pytest.mark.parametrize("trainings, patients", [(5, 30), (10, 100)])
@pytest.mark.parametrize("spreads", [(0.03, 0.3, 0.3), (0.03, 0.0, 0.3), (0.05, 0.05, 0.1)])
def test_the_interval_covers_the_truth_as_often_as_it_says(
    trainings: int, patients: int, spreads: tuple[float, float, float]
) -> None:
    random = np.random.default_rng(0)
    missed = 0
    for _ in range(300):
        mean = of_table(drawn(random, (trainings, patients), spreads))
        low, high = mean.interval() or (np.nan, np.nan)
        assert (mean.p > 0.05) == (low < 0 < high)  # interval and test are one
        missed += not low < 0 < high
    assert 0.02 <= missed / 300 <= 0.085


def test_a_difference_of_the_detectable_size_is_seen_four_times_of_five() -> None:
    random = np.random.default_rng(0)
    tables = [drawn(random, (6, 80), (0.03, 0.2, 0.3)) for _ in range(400)]
    size = np.median([of_table(table).detectable for table in tables])
    seen = np.mean([(of_table(table + size).p or 1) < 0.05 for table in tables])
    assert seen == pytest.approx(POWER, abs=0.06)


def test_on_other_patients_each_it_is_students_t_test_of_the_trainings() -> None:
    means = np.array([0.02, 0.05, -0.01, 0.04])
    mean = crossed_mean(means, np.diag([0.01, 0.02, -0.01, 0.03]), range(4), 4)
    wanted = stats.ttest_1samp(means, 0)
    assert (mean.value, mean.p, mean.freedom) == pytest.approx((means.mean(), wanted.pvalue, 3))
    assert mean.interval(0.9) == pytest.approx(wanted.confidence_interval(0.9), rel=1e-6)


def test_of_trainings_that_agree_it_is_students_t_test_of_the_patients() -> None:
    patients = np.random.default_rng(0).normal(0.1, 1, 40)
    mean = of_table(np.tile(patients, (5, 1)))
    wanted = stats.ttest_1samp(patients, 0)
    assert (mean.p, mean.freedom) == pytest.approx((wanted.pvalue, 39), rel=1e-9)


def test_trainings_on_one_of_several_splits_are_one_unit() -> None:
    table = drawn(np.random.default_rng(0), (6, 30), (0.1, 0.1, 0.1))
    units = [0, 1, 2, 0, 1, 2]
    wanted = of_table((table[:3] + table[3:]) / 2)
    assert vars(of_table(table, units)) == pytest.approx(vars(wanted))


def test_one_training_has_no_error_and_no_difference_has_p_1() -> None:
    alone = of_table(np.random.default_rng(0).random((1, 20)))
    assert alone.interval() is alone.p is alone.detectable is None
    same = of_table(np.zeros((3, 20)))
    assert (same.value, same.interval(), same.p) == (0, (0, 0), 1)


@pytest.mark.parametrize("patients", [3, BLOCK + 5])
def test_a_statistic_without_each_patient(patients: int) -> None:
    numbers = np.arange(patients, dtype=float)
    value, moved = leave_one_out(lambda weights: weights @ numbers, patients)
    assert value == numbers.sum()
    assert moved == pytest.approx(-numbers)
