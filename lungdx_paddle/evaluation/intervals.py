"""Bootstrap confidence intervals over patients.

Patients are the units, since the slices and nodules of one patient are alike.  A statistic
is a function of weights: how often each patient counts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from lungdx_paddle.evaluation.counts import number, numbered
from lungdx_paddle.evaluation.ranking import weighted_auc
from lungdx_paddle.words import count_of

RESAMPLES = 2000
"""Of a bootstrap: a percentile's own error is then about a tenth of the interval."""

BLOCK = 250
"""Resamples computed at a time: of 8000 patients 16 MB."""

COVERAGE = 0.95
"""Of an interval."""

LEAST_DEFINED = 0.5
"""Share of the resamples that must define a number (have both classes, say) for an interval."""

LEAST_PATIENTS = 6
"""That a number which is shown rests on: with five, even all right and none wrong may be chance
(two-sided p = 2 / 2^5 = 0.06)."""

Interval = tuple[float, float] | None

Statistic = Callable[[np.ndarray], np.ndarray]
"""(resamples, patients) weights -> (resamples,) numbers, NaN where undefined."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % bootstrap interval over patients."""

    value: float | None
    """None where the data do not define it; never NaN."""
    interval: Interval
    """(low, high); None with fewer than two patients or too few defined resamples."""
    patients: int
    why: str = ""
    """Why there is no value, or no interval, or why neither is shown."""
    benign: int | None = None
    malignant: int | None = None
    """Of an AUC: how many patients or nodules are on either side."""

    @property
    def too_few(self) -> bool:
        """Whether it rests on too few patients to be shown."""
        return self.value is not None and self.patients < LEAST_PATIENTS

    def __str__(self) -> str:
        if self.value is None:
            return f"- ({self.why})"
        if self.too_few:
            return too_few(self.patients)
        between = f" ({self.interval[0]:.3f} to {self.interval[1]:.3f})" if self.interval else ""
        return f"{self.value:.3f}{between}, {count_of(self.patients, 'patient')}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON: value, interval, patients, and the optional fields that are set."""
        fields = {**vars(self), "interval": list(self.interval) if self.interval else None}
        always = ("value", "interval", "patients")
        return {name: v for name, v in fields.items() if name in always or v not in (None, "")}

    @staticmethod
    def from_dict(entry: Mapping[str, Any]) -> Estimate:
        """The estimate that :meth:`to_dict` turned into ``entry``.

        Raises:
            KeyError, TypeError: it is something else.
        """
        span = entry["interval"]
        for end in (entry["value"], *(span or ())):
            if not isinstance(end, (int, float, type(None))):
                raise TypeError(f"{end!r} is no number")
        return Estimate(**{**entry, "interval": tuple(span) if span else None})


def too_few(patients: int) -> str:
    """What is shown in place of a number that rests on so few."""
    return f"too few: {count_of(patients, 'patient')}"


def estimates(
    statistics: Mapping[str, Statistic], patients: int, why: str, seed: int = 0
) -> dict[str, Estimate]:
    """Several statistics of the same patients with their percentile intervals (Efron 1979).

    A statistic that fewer than LEAST_DEFINED of the resamples define has no interval.

    Args:
        statistics: {name: function of weights}.
        patients: how many there are.
        why: stands where a value is undefined.
        seed: of the resamples; the same seed and number of patients give the same ones.
    """
    once = np.ones((1, patients))
    values = {name: number(statistic(once)[0]) for name, statistic in statistics.items()}
    drawn: dict[str, list[np.ndarray]] = {
        name: [] for name, value in values.items() if value is not None and patients > 1
    }
    for weights in resamples(patients, seed) if drawn else ():
        for name, blocks in drawn.items():
            blocks.append(statistics[name](weights))
    made = {}
    for name, value in values.items():
        again = np.concatenate(drawn.get(name, [np.zeros(0)]))
        defined, span = again[np.isfinite(again)], None
        if len(defined) and len(defined) >= LEAST_DEFINED * len(again):
            low, high = np.percentile(defined, [50 * (1 - COVERAGE), 100 - 50 * (1 - COVERAGE)])
            span = float(low), float(high)
        few = too_few(patients) if patients < LEAST_PATIENTS else ""
        missing = "" if span else "too few patients for an interval"
        reason = why if value is None else few or missing
        made[name] = Estimate(value, span, patients, reason)
    return made


def auc_estimate(
    positive: np.ndarray,
    scores: np.ndarray,
    patients: Sequence[Hashable],
    seed: int = 0,
    other: np.ndarray | None = None,
) -> Estimate:
    """AUC of malignant against benign, or the difference of two.

    Args:
        positive: (n,) bool, malignant.
        scores: (n,) numbers, higher for malignant.
        patients: (n,) the patient of each.
        seed: of the bootstrap.
        other: (n,) numbers whose AUC, in the same resamples, is subtracted; None: nothing is.
    """
    group, groups = numbered(patients)
    malignant = int(positive.sum())
    benign = len(positive) - malignant
    why = f"an AUC needs both: {benign} benign, {malignant} malignant"

    def statistic(weights: np.ndarray) -> np.ndarray:
        of_each = weights[:, group]
        own = weighted_auc(positive, scores, of_each)
        return own if other is None else own - weighted_auc(positive, other, of_each)

    found = estimates({"auc": statistic}, groups, why, seed)["auc"]
    return replace(found, benign=benign, malignant=malignant)


def of_sums(sums: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> Statistic:
    """Make a statistic: a score of the sum of the patients' contributions.

    Args:
        sums: (patients, ...) what each patient adds, such as a confusion matrix.
        score: (resamples, ...) sums -> (resamples,) numbers.
    """
    return each_of_sums(sums, {"": score})[""]


def each_of_sums(
    sums: np.ndarray, scores: Mapping[str, Callable[[np.ndarray], np.ndarray]]
) -> dict[str, Statistic]:
    """A statistic for each of several scores of the same sums, which are added up once for all.

    Args:
        sums: (patients, ...) what each patient adds, such as a confusion matrix.
        scores: {name: function of (resamples, ...) sums to (resamples,) numbers}.
    """
    flat = sums.reshape(len(sums), int(np.prod(sums.shape[1:]))).astype(float)
    last: list[tuple[np.ndarray, np.ndarray]] = []

    def total(weights: np.ndarray) -> np.ndarray:
        if not last or last[0][0] is not weights:
            last[:] = [(weights, (weights @ flat).reshape(len(weights), *sums.shape[1:]))]
        return last[0][1]

    def statistic(score: Callable[[np.ndarray], np.ndarray]) -> Statistic:
        return lambda weights: score(total(weights))

    return {name: statistic(score) for name, score in scores.items()}


def differences(
    own: Mapping[str, Statistic], others: Mapping[str, Statistic]
) -> dict[str, Statistic]:
    """Statistics of two answers to the same questions, subtracted in each resample of patients.

    Returns:
        {name: own minus other} of the names that both have.
    """

    def difference(a: Statistic, b: Statistic) -> Statistic:
        return lambda weights: a(weights) - b(weights)

    return {name: difference(own[name], others[name]) for name in own if name in others}


def resamples(patients: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Draw patients with replacement, RESAMPLES times: (BLOCK, patients) weights at a time."""
    for drawn in _drawn(patients, seed):
        yield drawn.astype(float)


@lru_cache(maxsize=4)
def _drawn(patients: int, seed: int) -> tuple[np.ndarray, ...]:
    """The blocks of :func:`resamples`, kept for the next statistic of as many patients.

    As bytes (8000 patients: 16 MB): that one of 256 or more is drawn 256 times in a resample
    has a chance of 1 in 256!.
    """
    random, share = np.random.default_rng(seed), np.full(patients, 1.0 / patients)
    return tuple(
        random.multinomial(patients, share, size=BLOCK).astype(np.uint8)
        for _ in range(0, RESAMPLES, BLOCK)
    )
