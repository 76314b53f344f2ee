"""Mean of a score over trainings, with an error for other trainings on other patients.

Trainings and patients are crossed as readers and cases are in a study of radiologists, and both
are random.  So the variance is theirs (Obuchowski & Rockette 1995, Commun. Stat. Simul. 24:285):
that between trainings, over their number, and the covariance that any two of them have because
they are evaluated on the same patients, from a jackknife over patients.  Degrees of freedom are
Satterthwaite's, as Hillis (2007, Stat. Med. 26:596) has them for readers, with the patients' part
finite, too.

Why no bootstrap of trainings and patients: with few trainings its percentiles are too narrow,
and where chance within a training and patient prevails they are too wide (Owen 2007, Ann. Appl.
Stat. 1:386).  Why no permutation of two methods within trainings: it gives no p below
2 / 2^trainings, and holds the patients fixed.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from lungdx_paddle.evaluation.counts import numbered
from lungdx_paddle.evaluation.intervals import BLOCK, COVERAGE, Interval, Statistic

POWER = 0.8
"""Chance to see a difference of the size that is called detectable: the custom of trials."""


@dataclass(frozen=True)
class CrossedMean:
    """A mean over trainings, and how far it would move with other trainings and patients."""

    value: float
    error: float
    """Its standard error; NaN of a single training."""
    freedom: float
    """Degrees of freedom of the error."""

    def interval(self, coverage: float = COVERAGE) -> Interval:
        """(low, high) by Student's t; None of a single training."""
        if np.isnan(self.error):
            return None
        half = float(stdtrit(self.freedom, 0.5 + coverage / 2)) * self.error
        return self.value - half, self.value + half

    @property
    def p(self) -> float | None:
        """Two-sided p of a mean of 0; None of a single training."""
        if np.isnan(self.error):
            return None
        if self.error == 0:
            return float(self.value == 0)
        return float(2 * stdtr(self.freedom, -abs(self.value) / self.error))

    @property
    def detectable(self) -> float | None:
        """The least mean that p < 0.05 is found for with a chance of POWER; None as ``p``."""
        if np.isnan(self.error):
            return None
        return float(stdtrit(self.freedom, [0.5 + COVERAGE / 2, POWER]).sum()) * self.error


def crossed_mean(
    values: np.ndarray, moved: np.ndarray, units: Sequence[Hashable], patients: int
) -> CrossedMean:
    """The mean of the units' means, with its error.

    Args:
        values: (trainings,) a number of each, or the difference of two methods' numbers.
        moved: (trainings, all patients) by how much it changes without that patient.
        units: (trainings,) what is independent of each other: the training, or its split where
            several trainings share one of several.
        patients: how many the numbers rest on.
    """
    group, count = numbered(units)
    share = np.eye(count)[group].T / np.bincount(group, minlength=count)[:, np.newaxis]
    means, moves = share @ values, share @ moved
    if count < 2:
        return CrossedMean(float(means.mean()), float("nan"), 0.0)
    covariance = moves @ moves.T * (patients - 1) / patients
    shared = (covariance.sum() - np.trace(covariance)) / (count * (count - 1))
    between, shared = float(means.var(ddof=1)) / count, max(0.0, float(shared))
    variance = between + shared
    if variance == 0:
        return CrossedMean(float(means.mean()), 0.0, 1.0)
    freedom = variance**2 / (between**2 / (count - 1) + shared**2 / max(1, patients - 1))
    return CrossedMean(float(means.mean()), variance**0.5, freedom)


def leave_one_out(statistic: Statistic, patients: int) -> tuple[float, np.ndarray]:
    """A statistic, and by how much it changes without each patient (NaN where undefined).

    Returns:
        The number of all patients, and (patients,) the jackknife's changes.
    """
    value = float(statistic(np.ones((1, patients)))[0])
    without = []
    for start in range(0, patients, BLOCK):
        left_out = np.arange(start, min(start + BLOCK, patients))
        weights = np.ones((len(left_out), patients))
        weights[np.arange(len(left_out)), left_out] = 0
        without.append(statistic(weights))
    return value, np.concatenate([np.zeros(0), *without]) - value
