"""Intervals over patients cover the truth, repeat, and are missing where they must be."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungdx_paddle.evaluation.counts import accuracy
from lungdx_paddle.evaluation.intervals import (
    RESAMPLES,
    Estimate,
    Interval,
    Statistic,
    auc_estimate,
    estimates,
    of_sums,
    resamples,
)
from lungdx_paddle.evaluation.ranking import auc


def patients(random: np.random.Generator, count: int, mean: float = 0.7) -> np.ndarray:
    """(patients, 2, 2) counts: each has a chance of their own, so their images are alike."""
    chance = random.beta(8 * mean, 8 * (1 - mean), count)
    images = random.integers(1, 12, count)
    right = random.binomial(images, chance)
    counts = np.zeros((count, 2, 2), dtype=np.int64)
    counts[:, 0, 0], counts[:, 0, 1] = right, images - right
    return counts


def span(counts: np.ndarray, seed: int = 0) -> Interval:
    statistics = {"accuracy": of_sums(counts, accuracy)}
    return estimates(statistics, len(counts), "nothing counted", seed)["accuracy"].interval


def test_the_interval_over_patients_covers_the_truth() -> None:
    random = np.random.default_rng(0)
    spans = [span(patients(random, 80), seed) for seed in range(150)]
    covered = np.mean([low <= 0.7 <= high for low, high in spans])
    assert 0.89 <= covered <= 0.99


def test_a_bootstrap_repeats_and_draws_as_many_patients_as_there_are() -> None:
    counts = patients(np.random.default_rng(1), 20)
    assert span(counts, 3) == span(counts, 3)
    assert span(counts, 3) != span(counts, 4)
    drawn = np.concatenate(list(resamples(20)))
    assert drawn.shape == (RESAMPLES, 20) and (drawn.sum(axis=1) == 20).all()


def test_the_interval_of_an_auc_is_that_of_its_patients_drawn_again() -> None:
    random = np.random.default_rng(2)
    positive, scores = random.random(40) < 0.5, random.integers(0, 6, 40) / 6
    group = random.integers(0, 10, 40)
    found = auc_estimate(positive, scores, group.tolist())
    order = {g: i for i, g in enumerate(dict.fromkeys(group.tolist()))}
    owner = np.array([order[g] for g in group.tolist()])
    again = []
    for weights in np.concatenate(list(resamples(10))):
        repeated = np.repeat(np.arange(40), weights[owner].astype(int))
        again.append(auc(positive[repeated], scores[repeated]))
    assert found.value == auc(positive, scores)
    assert found.interval == pytest.approx(np.percentile(again, [2.5, 97.5]), abs=1e-12)
    assert (found.benign, found.malignant) == (int((~positive).sum()), int(positive.sum()))


def test_one_patient_or_one_class_has_no_interval() -> None:
    assert span(patients(np.random.default_rng(0), 1)) is None
    assert span(np.zeros((5, 2, 2))) is None
    found = auc_estimate(np.ones(3, bool), np.arange(3.0), ["a", "b", "c"])
    assert (found.value, found.interval) == (None, None)


def test_an_estimate_says_why_it_has_no_value_or_interval_or_is_not_shown() -> None:
    def of(patients: int, statistic: Statistic = lambda weights: weights[:, 0]) -> Estimate:
        return estimates({"it": statistic}, patients, "nothing counted")["it"]

    assert of(1) == Estimate(1.0, None, 1, "too few: 1 patient")
    for count in (2, 5):
        assert of(count).interval and of(count).why == f"too few: {count} patients"
    assert of(6).interval and of(6).why == ""
    assert of(6, lambda weights: weights[:, 0] * np.nan) == Estimate(
        None, None, 6, "nothing counted"
    )

    def rare(weights: np.ndarray) -> np.ndarray:
        """Defined where the first two patients are drawn once each: in a seventh of the cases."""
        return np.where((weights[:, :2] == 1).all(axis=1), 1.0, np.nan)

    assert of(20, rare) == Estimate(1.0, None, 20, "too few patients for an interval")


def test_an_estimate_has_no_empty_fields_in_json() -> None:
    assert list(Estimate(0.7, (0.6, 0.8), 9).to_dict()) == ["value", "interval", "patients"]


def test_an_estimate_reads_as_a_sentence_part() -> None:
    assert str(Estimate(0.775, (0.738, 0.8081), 545)) == "0.775 (0.738 to 0.808), 545 patients"
    assert str(Estimate(0.5, None, 1, "too few: 1 patient")) == "too few: 1 patient"
    assert str(Estimate(0.5, (0.5, 0.5), 5)) == "too few: 5 patients"
    assert str(Estimate(0.5, None, 6)) == "0.500, 6 patients"
    one_sided = auc_estimate(np.zeros(3, bool), np.arange(3.0), ["a", "b", "c"])
    assert str(one_sided) == "- (an AUC needs both: 3 benign, 0 malignant)"


def test_an_estimate_comes_back_from_json() -> None:
    for made in (
        Estimate(0.7, (0.6, 0.8), 9),
        Estimate(None, None, 0, "none has a label"),
        auc_estimate(np.array([True, False]), np.array([1.0, 0.0]), ["a", "b"]),
    ):
        assert Estimate.from_dict(json.loads(json.dumps(made.to_dict()))) == made
