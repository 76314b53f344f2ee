"""What is fitted corrects overconfidence, gives better levels on other nodules, and is stable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.calibration import level_class
from lungdx_paddle.evaluation.calibration_fit import fit_calibration, fit_cuts
from lungdx_paddle.evaluation.counts import confusion, quadratic_kappa, within_one
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.manifest import ManifestRow


@pytest.fixture
def row(crop_rows: list[ManifestRow]) -> ManifestRow:
    return crop_rows[0]


def of_nodules(row: ManifestRow, probabilities: np.ndarray, labels: np.ndarray) -> Predictions:
    """Predictions of one crop a nodule and a patient."""
    rows = tuple(replace(row, patient_id=f"P{i:04d}") for i in range(len(labels)))
    label_set = LABEL_SETS["none"]
    return Predictions(rows, {"malignancy": labels}, {"malignancy": probabilities}, label_set)


def calibrated_levels(seed: int, nodules: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of five levels about a middle, and labels that were drawn from them."""
    random = np.random.default_rng(seed)
    middle = np.clip(random.normal(2.2, 1.0, nodules), 0, 4)
    spread = random.uniform(0.5, 1.1, nodules)[:, np.newaxis]
    p = np.exp(-0.5 * ((np.arange(5) - middle[:, np.newaxis]) / spread) ** 2) + 0.01
    p /= p.sum(axis=1, keepdims=True)
    return p, np.array([random.choice(5, p=each) for each in p])


@pytest.mark.parametrize("temperature", [0.7, 1.0, 2.0])
def test_the_temperature_that_made_a_network_too_sure_is_found(
    row: ManifestRow, temperature: float
) -> None:
    p, labels = calibrated_levels(0, 3000)
    raised = p**temperature
    sure = of_nodules(row, raised / raised.sum(axis=1, keepdims=True), labels)
    found = fit_calibration(sure, folds=5)
    assert found.temperatures["malignancy"] == pytest.approx(temperature, rel=0.08)
    assert (found.folds, found.patients, found.nodules) == (5, 3000, {"malignancy": 3000})


def test_cuts_are_better_than_the_likeliest_class_on_other_nodules(row: ManifestRow) -> None:
    """Where a network wavers between levels that are apart."""

    def wavering(seed: int) -> tuple[np.ndarray, np.ndarray]:
        random = np.random.default_rng(seed)
        p = random.dirichlet(np.ones(5), 600)
        return p, np.array([random.choice(5, p=each) for each in p])

    def scores(classes: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        counts = confusion(labels, classes, 5)
        return float(quadratic_kappa(counts)), float(within_one(counts))

    gains = []
    for seed in range(6):
        cuts = fit_calibration(of_nodules(row, *wavering(seed)), folds=5).cuts
        assert sorted(cuts) == list(cuts)
        others = of_nodules(row, *wavering(seed + 100))
        likeliest, labels = others.classes["malignancy"], others.labels["malignancy"]
        by_cuts = scores(level_class(others.expected_levels, cuts), labels)
        gains.append(np.subtract(by_cuts, scores(likeliest, labels)))
    assert (np.mean(gains, axis=0) > 0).all()


def test_levels_that_are_apart_are_cut_between() -> None:
    labels = np.arange(500) % 5
    cuts = fit_cuts(labels + 1 + np.random.default_rng(0).uniform(-0.2, 0.2, 500), labels)
    assert level_class(labels + 1.0, cuts).tolist() == labels.tolist()


def test_a_nodule_of_many_slices_weighs_as_one_of_few(row: ManifestRow) -> None:
    once = of_nodules(row, *calibrated_levels(1, 300))
    often = once.select([*range(300), *[7] * 500, *[250] * 40])
    assert fit_calibration(often, 5) == fit_calibration(once, 5)


def test_of_too_few_nodules_or_without_a_level_nothing_is_fitted_and_that_is_said(
    row: ManifestRow,
) -> None:
    whole = of_nodules(row, *calibrated_levels(2, 600))
    few = fit_calibration(whole.select(range(60)), 5)
    assert few.is_identity
    assert few.why == (
        "malignancy: 60 nodules, a temperature takes 100",
        "60 nodules: cuts take 200, all levels",
    )
    without = fit_calibration(whole.select(np.flatnonzero(whole.labels["malignancy"] > 0)), 5)
    assert not without.cuts and without.temperatures
    assert "none of 1 of the levels" in without.why[0]
    nothing = replace(whole, labels={"malignancy": np.full(600, -1)})
    assert fit_calibration(nothing, 5).is_identity
