"""Pure functions of labels and predictions.

Conventions: a label of -1 is no label and its image does not count; a number that no
labelled image defines is ``None``, never NaN.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from lungdx_paddle.evaluation import counts as counted
from lungdx_paddle.evaluation.counts import number


def accuracy(labels: np.ndarray, predictions: np.ndarray) -> float | None:
    """Part of the labelled images whose class is predicted; None if none is labelled.

    Args:
        labels: (n,) classes, -1 for no label.
        predictions: (n,) classes.
    """
    labelled = labels >= 0
    if not labelled.any():
        return None
    return float((labels[labelled] == predictions[labelled]).mean())


def combined(by_task: Mapping[str, float | None]) -> float | None:
    """Mean of the tasks' numbers (PAPER, "accuracy" of Table 2); tasks without one left out."""
    known = [value for value in by_task.values() if value is not None]
    return sum(known) / len(known) if known else None


def with_combined(by_task: dict[str, float | None]) -> dict[str, float | None]:
    """``{"total": mean, **by_task}``."""
    return {"total": combined(by_task), **by_task}


def group_mean(values: np.ndarray, groups: Sequence[Hashable]) -> dict[Hashable, np.ndarray]:
    """Mean of each group's rows, such as a nodule's over its slices.

    Args:
        values: (n, ...) numbers.
        groups: (n,) what each row belongs to.

    Returns:
        {group: (...) mean}, in the order in which the groups appear.
    """
    members: dict[Hashable, list[int]] = {}
    for index, group in enumerate(groups):
        members.setdefault(group, []).append(index)
    return {group: values[indices].mean(axis=0) for group, indices in members.items()}


def group_accuracy(
    labels: np.ndarray, probabilities: np.ndarray, groups: Sequence[Hashable]
) -> float | None:
    """Accuracy with one vote a group: the class of its mean probabilities.

    Args:
        labels: (n,) classes, -1 for no label, the same throughout a group.
        probabilities: (n, classes).
        groups: (n,) what each image belongs to, such as its nodule or its patient.
    """
    labelled = np.flatnonzero(labels >= 0).tolist()
    names = [groups[i] for i in labelled]
    votes = group_mean(probabilities[labelled], names)
    truth = {name: labels[i] for name, i in zip(names, labelled)}
    if not votes:
        return None
    return float(np.mean([np.argmax(votes[name]) == truth[name] for name in votes]))


def most_suspicious_accuracy(
    labels: np.ndarray,
    probabilities: np.ndarray,
    nodules: Sequence[Hashable],
    patients: Sequence[Hashable],
) -> float | None:
    """Accuracy of a patient's highest malignancy class over all nodules.

    Args:
        labels: (n,) malignancy classes, -1 for no label, the same throughout a nodule.
        probabilities: (n, classes).
        nodules: (n,) names of the nodules, unique over patients.
        patients: (n,) names of the patients.
    """
    labelled = np.flatnonzero(labels >= 0).tolist()
    if not labelled:
        return None
    names = [nodules[i] for i in labelled]
    votes = group_mean(probabilities[labelled], names)
    truth: dict[Hashable, int] = {}
    guess: dict[Hashable, int] = {}
    for index, nodule in zip(labelled, names):
        patient = patients[index]
        truth[patient] = max(truth.get(patient, 0), int(labels[index]))
        guess[patient] = max(guess.get(patient, 0), int(np.argmax(votes[nodule])))
    return float(np.mean([truth[patient] == guess[patient] for patient in truth]))


def within_one(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float | None:
    """Part of the labelled images predicted at most one level off; None if none is labelled."""
    return number(counted.within_one_of(counted.confusion(labels, predictions, classes)))


def quadratic_kappa(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float | None:
    """Quadratic weighted kappa (Cohen 1968); None if all is of one class or unlabelled."""
    return number(counted.quadratic_kappa_of(counted.confusion(labels, predictions, classes)))


def balanced_accuracy(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float | None:
    """Mean recall of the labelled classes (Brodersen 2010); None if none is labelled."""
    return number(counted.balanced_accuracy_of(counted.confusion(labels, predictions, classes)))


def macro_f1(labels: np.ndarray, predictions: np.ndarray, classes: int) -> float | None:
    """Mean F1 of the classes that are labelled or predicted; None if none is labelled."""
    return number(counted.macro_f1_of(counted.confusion(labels, predictions, classes)))
