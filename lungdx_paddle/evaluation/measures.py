"""What methods are compared by: each measure is one number of a set of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.counts import SCORES, group_confusion
from lungdx_paddle.evaluation.intervals import Statistic, of_sums
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.ranking import weighted_auc
from lungdx_paddle.evaluation.scores import clear_nodules

AUC = "auc"

BOTH = "both"
"""Stands for the mean of the two tasks' scores; of their accuracies it is the paper's number."""


@dataclass(frozen=True)
class Measure:
    """A score of a task at a level, defined as scores.py has it."""

    task: str
    """malignancy, pathology, or BOTH."""
    score: str
    """AUC, or what counts.SCORES has for the task."""
    level: str
    """image or nodule, or patient (of pathology)."""

    def __post_init__(self) -> None:
        if self.level == "patient" and self.task != PATHOLOGY:
            raise ValueError("malignancy is compared by image or nodule")

    def __str__(self) -> str:
        return f"{self.task}: {self.score_name} by {self.level}"

    @property
    def score_name(self) -> str:
        """The score in words."""
        return "AUC" if self.score == AUC else self.score.replace("_", " ")

    def tasks(self, predictions: Predictions) -> list[str]:
        """The tasks that it needs; none where the predictions do not have them."""
        needed = [MALIGNANCY, PATHOLOGY] if self.task == BOTH else [self.task]
        classes = len(predictions.label_set.classes)
        ranked = self.score == AUC and PATHOLOGY in needed
        fits = set(needed) <= set(predictions.labels) and not (ranked and classes != 2)
        return needed if fits else []

    def labelled(self, task: str, predictions: Predictions) -> Predictions:
        """The items that it counts of a task: a row an image, nodule or patient."""
        part = predictions.pooled(self.level)
        if (task, self.score) == (MALIGNANCY, AUC):
            return clear_nodules(part)[0]
        return part.select(np.flatnonzero(part.labels[task] >= 0))

    def of_task(self, task: str, part: Predictions, number: Mapping[str, int]) -> Statistic:
        """The score of one task as a function of how often each patient counts.

        Args:
            task: malignancy or pathology.
            part: what :meth:`labelled` returned.
            number: {patient: column of the weights}.
        """
        group = np.array([number[name] for name in part.patients], dtype=np.int64)
        if self.score != AUC:
            labels, classes = part.labels[task], part.probabilities[task].shape[1]
            predicted = part.classes[task]
            counts = group_confusion(labels, predicted, classes, group, len(number))
            return of_sums(counts, SCORES[task][self.score])
        if task == MALIGNANCY:
            positive, suspicion = clear_nodules(part)[1], part.expected_levels
        else:
            positive, suspicion = part.labels[task] == 1, part.probabilities[task][:, 1]
        return lambda weights: weighted_auc(positive, suspicion, weights[:, group])


MEASURES = (
    Measure(BOTH, "accuracy", "image"),
    Measure(MALIGNANCY, "accuracy", "image"),
    Measure(PATHOLOGY, "accuracy", "image"),
    Measure(BOTH, "accuracy", "nodule"),
    Measure(MALIGNANCY, "quadratic_kappa", "nodule"),
    Measure(MALIGNANCY, AUC, "nodule"),
    Measure(PATHOLOGY, "balanced_accuracy", "patient"),
    Measure(PATHOLOGY, AUC, "patient"),
)
"""The paper's accuracies, then what this package reports of nodules and patients."""
