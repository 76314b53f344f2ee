"""Fit a calibration to out-of-fold predictions: a temperature a task, and the cuts of the levels.

Nodules weigh equally, not images: an answer is about a nodule, and a large one has many slices.
The temperature is that of the *nodule's* probabilities, the mean over its slices.  A mean of
several slices is less sure than each and right more often, so that slices which are calibrated one
by one give nodules that are not: on 1098 nodules (five networks, context crops) the temperature
of the images is 1.18, with a calibration error of 0.023 by image and 0.093 by nodule; that of the
nodules is 0.96, with 0.052 and 0.049; left alone, it is 0.041 and 0.054.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.calibration import Calibration, tempered
from lungdx_paddle.evaluation.counts import numbered, quadratic_kappa, within_one
from lungdx_paddle.evaluation.predictions import Predictions

TEMPERATURES = (0.2, 5.0)
"""Between which a temperature is looked for; networks lie between 0.9 and 3."""

LEAST_PROBABILITY = 1e-9
"""Of the right class in a likelihood: one nodule that was thought impossible decides nothing."""

LEAST_NODULES = {"temperature": 100, "cuts": 200}
"""Labelled nodules that a fit needs.  Fitted on as many of 1098 and judged on the others, a
temperature has a standard deviation of 0.10 with 100 and 0.14 with 60; cuts do better than the
likeliest class (in what they maximise) in 83 of 100 draws with 200, in 55 with 100."""

WITHIN_ONE_WEIGHT = 2.0
"""The cuts maximise quadratic kappa + this x the share within one level, by nodule.  Weights
from 1 to 3 differ little (kappa 0.787 to 0.782, within one 0.964 to 0.965, cross-fitted on 1098
nodules); a larger one costs kappa and gains nothing."""

BLUR = 0.1
"""Standard deviation by which each expected level is blurred while cuts are fitted: as far as a
crop that is moved by two or three pixels moves it.  Without it the objective is a staircase whose
highest step moves with a few nodules: cross-fitted twelve times, the lowest cut's standard
deviation is 0.12 and not 0.04, kappa 0.777 and not 0.783, within one 0.963 and not 0.964."""

GRID = np.round(np.arange(1.05, 4.951, 0.05), 2)
"""Expected levels at which a cut may lie: steps of about its own uncertainty."""

START = (1.5, 2.5, 3.5, 4.5)
"""Where the search begins: each expected level to the nearest level."""


def fit_calibration(predictions: Predictions, folds: int) -> Calibration:
    """Fit temperatures and cuts to predictions of crops that the networks were not trained on.

    Args:
        predictions: as the networks gave them, each crop by the network of its fold.
        folds: of the cross-validation; it is noted.
    """
    temperatures, counts, why = {}, {}, []
    for task, labels in predictions.labels.items():
        known = predictions.select(np.flatnonzero(labels >= 0))
        nodule, counts[task] = numbered([row.nodule_key for row in known.rows])
        least = LEAST_NODULES["temperature"]
        if counts[task] < least:
            why.append(f"{task}: {counts[task]} nodules, a temperature takes {least}")
            continue
        temperatures[task] = _temperature(known.probabilities[task], known.labels[task], nodule)
    found = Calibration(temperatures, (), folds, len(set(predictions.patients)), counts)
    nodules = predictions.calibrated([found]).pooled("nodule")
    truth = nodules.labels[MALIGNANCY]
    known = nodules.select(np.flatnonzero(truth >= 0))
    cuts: tuple[float, ...] = ()
    missing = known.probabilities[MALIGNANCY].shape[1] - len(np.unique(truth[truth >= 0]))
    if len(known) < LEAST_NODULES["cuts"] or missing:
        without = f", none of {missing} of the levels" if missing else ""
        why.append(f"{len(known)} nodules{without}: cuts take {LEAST_NODULES['cuts']}, all levels")
    else:
        cuts = fit_cuts(known.expected_levels, known.labels[MALIGNANCY])
    return Calibration(temperatures, cuts, folds, found.patients, counts, tuple(why))


def fit_cuts(expected: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Cuts of the expected level that maximise kappa + WITHIN_ONE_WEIGHT x within one.

    One cut after the other is moved along :data:`GRID` until none gains, which is deterministic.

    Args:
        expected: (n,) expected levels from 1 to 5, a nodule each.
        labels: (n,) classes from 0 to 4, each of them there.
    """
    classes = range(len(START) + 1)
    # (classes, places) nodules of each class below each place, blurred.
    below = np.array(
        [ndtr((GRID[:, np.newaxis] - expected[labels == k]) / BLUR).sum(axis=1) for k in classes]
    )
    totals = np.bincount(labels, minlength=len(classes))[:, np.newaxis]

    def objective(places: np.ndarray) -> np.ndarray:
        """(m,) what is maximised, of (m, 4) indices of the cuts in the grid."""
        found = np.moveaxis(below[:, places], 0, 1)
        all_of = np.broadcast_to(totals, (len(places), len(classes), 1))
        counts = np.diff(np.concatenate([0 * all_of, found, all_of], axis=-1))
        return np.asarray(quadratic_kappa(counts) + WITHIN_ONE_WEIGHT * within_one(counts))

    cuts, best, moved = np.searchsorted(GRID, START), -np.inf, True
    while moved:
        moved = False
        for k in range(len(cuts)):
            low, high = np.array([-1, *cuts, len(GRID)])[[k, k + 2]]
            tried = np.repeat(cuts[np.newaxis], high - low - 1, axis=0)
            tried[:, k] = np.arange(low + 1, high)
            scores = objective(tried)
            if scores.max() > best + 1e-12:
                best, cuts, moved = scores.max(), tried[scores.argmax()], True
    return tuple(GRID[cuts].tolist())


def _temperature(probabilities: np.ndarray, labels: np.ndarray, nodule: np.ndarray) -> float:
    """The temperature of least negative log-likelihood of the nodules' mean probabilities."""
    from scipy.optimize import minimize_scalar  # half a second, which every start would take

    right, slices = np.arange(len(labels)), np.bincount(nodule)
    exact = probabilities.astype(np.float64)

    def loss(log_temperature: float) -> float:
        of_label = tempered(exact, np.exp(log_temperature))[right, labels]
        mean = np.bincount(nodule, of_label) / slices
        return float(-np.log(mean + LEAST_PROBABILITY).mean())

    found = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded")
    return round(float(np.exp(found.x)), 3)
