"""Methods against each other: the statistics of the paper's Figure 7.

A method is a distribution over trainings.  Its score is the mean of its trainings' own; two methods
are compared by the difference of just these means, training by training of the same seed, split and
patients.  Intervals and tests are for other trainings and other patients
(:mod:`lungdx_paddle.evaluation.variance`), which one test and one interval of one error serve: they
cannot disagree with each other or with the scores that are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.counts import number, numbered
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, Estimate, Interval, too_few
from lungdx_paddle.evaluation.measures import MEASURES, Measure
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.variance import CrossedMean, crossed_mean, leave_one_out

LEVEL = 0.05
"""Of the tests: of a difference after Holm's correction, and of equivalence."""

MARGIN = 0.02
"""Difference of an accuracy, kappa or AUC up to which methods count as equivalent: another seed
moves a single training by as much (0.453 to 0.480 in four), so nobody should choose by it."""


@dataclass(frozen=True, eq=False)
class Training:
    """What one training predicts for its test part."""

    seed: int
    split_seed: int
    predictions: Predictions


Results = Mapping[str, Mapping[str, Sequence[Training]]]
"""{split: {method: its trainings}}, the methods' in the same order of splits."""


@dataclass(frozen=True)
class MethodScore:
    """The score of one method on one split, the mean over its trainings."""

    split: str
    measure: Measure
    method: str
    estimate: Estimate
    """With the interval for other trainings and patients."""
    trainings: tuple[float | None, ...]
    """Each training's own score; None where it does not count."""
    deviation: float | None
    """Standard deviation of the trainings' scores."""
    deviation_seeds: float | None
    """Of trainings on the same split; None where each has another."""
    deviation_splits: float | None
    """What the split adds to it; None where that cannot be told apart."""


@dataclass(frozen=True)
class MethodDifference:
    """Two methods, by the difference of their scores: first - second."""

    split: str
    measure: Measure
    first: str
    second: str
    estimate: Estimate
    interval90: Interval
    """Two one-sided tests at 5 % find equivalence where the margin encloses it (Schuirmann 1987,
    J. Pharmacokinet. Biopharm. 15:657)."""
    margin: float
    detectable: float | None
    """The difference that would have been seen four times of five."""
    p: float | None
    p_holm: float | None = None

    @property
    def differs(self) -> bool:
        """Whether there is a difference, after Holm's correction."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def equivalent(self) -> bool:
        """Whether the difference, if there is one, is smaller than the margin."""
        span = self.interval90
        return span is not None and -self.margin < span[0] <= span[1] < self.margin


@dataclass(frozen=True)
class Comparison:
    """What Figure 7 shows."""

    scores: tuple[MethodScore, ...]
    differences: tuple[MethodDifference, ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: each score and difference with its measure and estimate, by field names."""
        pairs = [
            {**_plain(row), "differs": row.differs, "equivalent": row.equivalent}
            for row in self.differences
        ]
        return {"scores": [_plain(row) for row in self.scores], "differences": pairs}


def compare_methods(
    results: Results, measures: Sequence[Measure] = MEASURES, margin: float = MARGIN
) -> Comparison:
    """Score of each method on each split by each measure, and every pair of methods tested.

    Measures of tasks that some predictions do not have are left out.  One of both tasks is the mean
    over those that have patients enough.  A training does not count, for all methods, where the
    number of one is undefined, with all patients or without one of them.  Holm's correction is for
    the pairs of one split and measure.

    Args:
        results: what the trainings of each method predict.
        measures: the first is the main one, by convention.
        margin: of equivalence, chosen before the results are seen.

    Raises:
        CheckpointError: the methods of a split were not tested on the same images and splits.
    """
    scores: list[MethodScore] = []
    pairs: list[MethodDifference] = []
    for split, methods in results.items():
        _check_pairs(split, methods)
        every = [training.predictions for own in methods.values() for training in own]
        for measure in measures:
            if all(map(measure.tasks, every)):
                found = {name: _Numbers.of(measure, own) for name, own in methods.items()}
                counts = np.all([own.defined for own in found.values()], axis=0)
                found = {name: own.where(counts) for name, own in found.items()}
                scores += [own.score(split, measure, name) for name, own in found.items()]
                pairs += _pairs(split, measure, found, margin)
    return Comparison(tuple(scores), tuple(pairs))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number (Holm 1979, Scand. J. Stat. 6:65), in their order.

    None, for a comparison that could not be made, stays None and does not count.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected


@dataclass(frozen=True, eq=False)
class _Numbers:
    """One measure of a method's trainings, or of the difference of two methods."""

    values: np.ndarray
    """(trainings,), NaN where undefined."""
    moved: np.ndarray
    """(trainings, patients) how each changes without a patient."""
    splits: tuple[int, ...]
    patients: int
    """That the numbers rest on."""

    @classmethod
    def of(cls, measure: Measure, trainings: Sequence[Training]) -> _Numbers:
        parts: dict[str, list[Predictions]] = {}
        for training in trainings:
            for task in measure.tasks(training.predictions):
                parts.setdefault(task, []).append(measure.labelled(task, training.predictions))
        by_task = {t: {p for part in own for p in part.patients} for t, own in parts.items()}
        tasks = [t for t, names in by_task.items() if len(names) >= LEAST_PATIENTS]
        tasks = tasks or [t for t, names in by_task.items() if names]
        names = sorted(set().union(*(by_task[task] for task in tasks)))
        columns = {name: k for k, name in enumerate(names)}
        values = np.full((len(tasks), len(trainings)), np.nan)
        moved = np.zeros((*values.shape, len(names)))
        for k, task in enumerate(tasks):
            for i, part in enumerate(parts[task]):
                statistic = measure.of_task(task, part, columns)
                values[k, i], moved[k, i] = leave_one_out(statistic, len(names))
        splits = tuple(training.split_seed for training in trainings)
        if not tasks:
            return cls(np.full(len(trainings), np.nan), moved.sum(axis=0), splits, 0)
        return cls(values.mean(axis=0), moved.mean(axis=0), splits, len(names))

    def __sub__(self, other: _Numbers) -> _Numbers:
        values, moved = self.values - other.values, self.moved - other.moved
        return replace(self, values=values, moved=moved)

    @property
    def defined(self) -> np.ndarray:
        """(trainings,) bool."""
        # A number that is gone without one patient has no error that a jackknife could find.
        return np.asarray(np.isfinite(self.values) & np.isfinite(self.moved).all(axis=1))

    def where(self, counts: np.ndarray) -> _Numbers:
        """Undefined for the trainings that do not count."""
        return replace(self, values=np.where(counts, self.values, np.nan))

    def mean(self) -> CrossedMean | None:
        """Over the trainings that define it; None where none does."""
        kept = np.flatnonzero(self.defined)
        if not len(kept):
            return None
        splits = [self.splits[i] for i in kept.tolist()]
        units = splits if len(set(splits)) > 1 else range(len(kept))
        return crossed_mean(self.values[kept], self.moved[kept], units, self.patients)

    def estimate(self, mean: CrossedMean | None) -> Estimate:
        if mean is None:
            return Estimate(None, None, self.patients, "labels or answers do not define it")
        few = too_few(self.patients) if self.patients < LEAST_PATIENTS else ""
        span = mean.interval()
        return Estimate(mean.value, span, self.patients, few or ("" if span else "one training"))

    def score(self, split: str, measure: Measure, method: str) -> MethodScore:
        estimate = self.estimate(self.mean())
        own = tuple(number(value) for value in self.values)
        return MethodScore(split, measure, method, estimate, own, *self.deviations())

    def deviations(self) -> tuple[float | None, float | None, float | None]:
        """Of all trainings, of those on one split, and what the splits add."""
        known = np.flatnonzero(np.isfinite(self.values))
        values = self.values[known]
        if len(known) < 2:
            return None, None, None
        group, splits = numbered([self.splits[i] for i in known.tolist()])
        whole, inner = float(values.std(ddof=1)), len(known) - splits
        if not inner:
            return whole, None, None
        sizes = np.bincount(group)
        means = np.bincount(group, values) / sizes
        within = float(((values - means[group]) ** 2).sum() / inner)
        if splits < 2:
            return whole, within**0.5, None
        added = max(0.0, float(means.var(ddof=1)) - within * float((1 / sizes).mean()))
        return whole, within**0.5, added**0.5


def _pairs(
    split: str, measure: Measure, found: Mapping[str, _Numbers], margin: float
) -> list[MethodDifference]:
    pairs = []
    for first, second in combinations(found, 2):
        apart = found[first] - found[second]
        mean = apart.mean()
        span = detectable = p = None
        if mean and apart.patients >= LEAST_PATIENTS:
            span, detectable, p = mean.interval(1 - 2 * LEVEL), mean.detectable, mean.p
        names, estimate = (first, second), apart.estimate(mean)
        pairs.append(
            MethodDifference(split, measure, *names, estimate, span, margin, detectable, p)
        )
    corrected = holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected)]


def _check_pairs(split: str, methods: Mapping[str, Sequence[Training]]) -> None:
    """Raise a CheckpointError unless all methods have the same splits, images and labels."""
    every = [training.predictions.labels for own in methods.values() for training in own]
    shared = [task for task in every[0] if all(task in labels for labels in every)]
    tested = set()
    for trainings in methods.values():
        parts = []
        for training in trainings:
            part = training.predictions
            images = tuple(row.image for row in part.rows)
            labels = tuple(part.labels[task].tobytes() for task in shared)
            parts.append((training.split_seed, images, labels))
        tested.add(tuple(parts))
    if len(tested) > 1:
        found = [
            f"{sum(len(t.predictions) for t in own)} images of split seeds "
            f"{sorted({t.split_seed for t in own})} for {name}"
            for name, own in methods.items()
        ]
        raise CheckpointError(
            f"the runs split by {split}",
            expected="the same test images, labels and splits for every method",
            found=", ".join(found),
            fix="compare runs of one manifest and the same seeds",
        )


def _plain(row: MethodScore | MethodDifference) -> dict[str, Any]:
    return {**vars(row), "measure": vars(row.measure), "estimate": row.estimate.to_dict()}
