"""Metrics are exact on hand-made cases and defined where nothing is labelled."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.evaluation.metrics import (
    accuracy,
    combined,
    group_accuracy,
    most_suspicious_accuracy,
    with_combined,
)

NONE = np.array([-1, -1])


def onehot(*classes: int) -> np.ndarray:
    return np.eye(5)[list(classes)]


def test_accuracy_counts_labelled_images_only() -> None:
    assert accuracy(np.array([0, 1, -1, 2]), np.array([0, 2, 3, 2])) == pytest.approx(2 / 3)
    assert accuracy(np.array([3, 1]), np.array([3, 1])) == 1.0
    assert accuracy(NONE, np.array([0, 0])) is None


def test_combined_is_the_mean_of_the_tasks_that_have_a_number() -> None:
    assert combined({"malignancy": 0.5, "pathology": 0.7}) == pytest.approx(0.6)
    assert combined({"malignancy": 0.5, "pathology": None}) == 0.5
    assert combined({"malignancy": None}) is None
    assert list(with_combined({"malignancy": 1.0})) == ["total", "malignancy"]


def test_a_group_votes_with_its_mean_probability() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.0, 1.0]])
    labels = np.array([0, 0, 0, 0])
    # Images: one of four right.  Nodule a: mean (0.57, 0.43), right; nodule b: wrong.
    assert group_accuracy(labels, probabilities, ["a", "a", "a", "b"]) == 0.5
    assert group_accuracy(NONE, probabilities[:2], ["a", "b"]) is None


def test_a_patient_is_as_suspicious_as_the_worst_nodule() -> None:
    labels = np.array([1, 4, 2])
    nodules, patients = ["p0", "p1", "q0"], ["p", "p", "q"]
    assert most_suspicious_accuracy(labels, onehot(0, 4, 2), nodules, patients) == 1.0
    assert most_suspicious_accuracy(labels, onehot(4, 0, 3), nodules, patients) == 0.5
    assert most_suspicious_accuracy(NONE, onehot(0, 0), ["a", "b"], ["p", "q"]) is None
