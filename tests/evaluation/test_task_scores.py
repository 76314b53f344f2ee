"""Answers are counted by patient, and pairs of them are compared in the same resamples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sk

from lungdx_paddle.evaluation.intervals import differences
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.task_scores import Answers
from lungdx_paddle.manifest import ManifestRow


@pytest.fixture
def drawn(
    perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]
) -> Callable[[int], Predictions]:
    """A function (seed) -> random probabilities for the same labels."""

    def draw(seed: int) -> Predictions:
        made = perfect(crop_rows)
        p = np.random.default_rng(seed).dirichlet(np.ones(5), len(made))
        return replace(made, probabilities={**made.probabilities, "malignancy": p})

    return draw


def test_scores_are_of_the_answers_that_the_predictions_give(
    drawn: Callable[[int], Predictions],
) -> None:
    made = drawn(0)
    labels, answers = made.labels["malignancy"], made.classes["malignancy"]
    found = Answers.of("malignancy", made, confident=True).scores(seed=0)
    assert found.mae.value == pytest.approx(sk.mean_absolute_error(labels, answers))
    kappa = sk.cohen_kappa_score(labels, answers, weights="quadratic")
    assert found.quadratic_kappa.value == pytest.approx(kappa)
    reached = labels[:, np.newaxis] <= np.arange(4)
    gap = made.probabilities["malignancy"].cumsum(axis=1)[:, :4] - reached
    assert found.rps.value == pytest.approx((gap**2).mean())
    assert found.rps.interval[0] < found.rps.value < found.rps.interval[1]
    assert found.ece is not None and found.balanced_accuracy is None
    assert Answers.of("malignancy", made).scores(seed=0).ece is None


def test_classes_have_no_order_in_pathology(drawn: Callable[[int], Predictions]) -> None:
    found = Answers.of("pathology", drawn(0)).scores(seed=0)
    assert found.rps is found.mae is found.within_one is None
    assert found.labelled == 30 and found.macro_f1.value == 1.0


def test_a_difference_is_narrower_than_its_parts_are_apart(
    drawn: Callable[[int], Predictions],
) -> None:
    # One answer in ten is another: the same patients are drawn for both.
    made = drawn(1)
    p = made.probabilities["malignancy"].copy()
    p[::10] = np.roll(p[::10], 1, axis=1)
    near = replace(made, probabilities={**made.probabilities, "malignancy": p})
    own, other = Answers.of("malignancy", made), Answers.of("malignancy", near)
    found = own.estimates(0, differences(own.statistics, other.statistics))["mae"]
    values = [answers.estimates(0)["mae"] for answers in (own, other)]
    assert found.value == pytest.approx(values[0].value - values[1].value)
    wide = [of.interval[1] - of.interval[0] for of in values]
    assert found.interval[1] - found.interval[0] < min(wide)


def test_the_seed_draws_the_patients_of_an_interval(drawn: Callable[[int], Predictions]) -> None:
    answers = Answers.of("malignancy", drawn(2))
    first, again, other = (answers.estimates(seed)["rps"].interval for seed in (0, 0, 1))
    assert first == again != other
