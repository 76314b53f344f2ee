"""Scores of one task at one level: its counts a patient, and the estimates that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.calibration import bin_sums, ece, reliability_curve
from lungdx_paddle.evaluation.counts import (
    SCORES,
    group_confusion,
    mean_of_sums,
    numbered,
    ranked_sums,
)
from lungdx_paddle.evaluation.intervals import (
    Estimate,
    Statistic,
    each_of_sums,
    estimates,
    of_sums,
)
from lungdx_paddle.evaluation.predictions import Predictions


@dataclass(frozen=True)
class TaskScores:
    """One task's scores at one level; None for what that task or level does not have."""

    labelled: int
    accuracy: Estimate
    within_one: Estimate | None = None
    quadratic_kappa: Estimate | None = None
    mae: Estimate | None = None
    rps: Estimate | None = None
    auc: Estimate | None = None
    balanced_accuracy: Estimate | None = None
    macro_f1: Estimate | None = None
    ece: Estimate | None = None
    reliability: tuple[Mapping[str, int | float], ...] | None = None
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers to one task's labelled images, nodules or patients, counted by patient."""

    task: str
    counts: np.ndarray
    """(patients, classes, classes): rows the label, columns the answer."""
    bins: np.ndarray | None = None
    """(patients, 3, BINS) of :func:`~lungdx_paddle.evaluation.calibration.bin_sums`."""
    ranked: np.ndarray | None = None
    """(patients, 2) of :func:`~lungdx_paddle.evaluation.counts.ranked_sums`."""

    @classmethod
    def of(cls, task: str, part: Predictions, confident: bool = False) -> Answers:
        """Count predictions of images, or pooled ones; with their confidence if that is asked."""
        known = part.select(np.flatnonzero(part.labels[task] >= 0))
        labels, probabilities = known.labels[task], known.probabilities[task]
        patient, patients = numbered(known.patients)
        classes = probabilities.shape[1]
        return cls(
            task,
            group_confusion(labels, known.classes[task], classes, patient, patients),
            bin_sums(labels, probabilities, patient, patients) if confident else None,
            ranked_sums(labels, probabilities, patient, patients) if task == MALIGNANCY else None,
        )

    @classmethod
    def of_most_suspicious(cls, nodules: Predictions) -> Answers:
        """Malignancy by patient: the highest class predicted against the highest label."""
        known = nodules.select(np.flatnonzero(nodules.labels[MALIGNANCY] >= 0))
        patient, patients = numbered(known.patients)
        truth, predicted = np.zeros((2, patients), dtype=np.int64)
        np.maximum.at(truth, patient, known.labels[MALIGNANCY])
        np.maximum.at(predicted, patient, known.classes[MALIGNANCY])
        classes = known.probabilities[MALIGNANCY].shape[1]
        each = np.arange(patients)
        return cls(MALIGNANCY, group_confusion(truth, predicted, classes, each, patients))

    @cached_property
    def statistics(self) -> dict[str, Statistic]:
        """{score: function of the patients' weights}."""
        found = each_of_sums(self.counts, SCORES[self.task])
        if self.ranked is not None:
            found["rps"] = of_sums(self.ranked, mean_of_sums)
        if self.bins is not None:
            found["ece"] = of_sums(self.bins, ece)
        return found

    def estimates(
        self, seed: int, of: Mapping[str, Statistic] | None = None
    ) -> dict[str, Estimate]:
        """Its own statistics, or others of the same patients, with their intervals."""
        one_class = "all labels and predictions are of one class"
        why = one_class if len(self.counts) else f"none has a label for {self.task}"
        return estimates(self.statistics if of is None else of, len(self.counts), why, seed)

    def scores(self, seed: int) -> TaskScores:
        """Every score with its interval."""
        total = self.counts.sum(axis=0)
        return TaskScores(
            labelled=int(total.sum()),
            confusion=tuple(tuple(row) for row in total.tolist()),
            reliability=None if self.bins is None else reliability_curve(self.bins.sum(axis=0)),
            **self.estimates(seed),
        )
