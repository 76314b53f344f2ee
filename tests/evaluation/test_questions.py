"""A curve is drawn of questions that nodules answer with both yes and no."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.evaluate import Predictions
from lungdx_paddle.evaluation.questions import questions
from lungdx_paddle.manifest import read_manifest

MALIGNANT = "malignancy: above 3.5 against below 2.5"


@pytest.fixture
def said(write_crops: Callable[..., Path]) -> Predictions:
    """Random probabilities of 8 patients with 2 nodules of 5 crops each."""
    dataset = NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])
    random = np.random.default_rng(0)
    sizes = {task: len(names) for task, names in dataset.label_set.task_classes.items()}
    return Predictions(
        dataset, {t: random.dirichlet(np.ones(n), len(dataset)) for t, n in sizes.items()}
    )


def test_a_nodule_counts_once_and_those_between_are_left_out(said: Predictions) -> None:
    yes, score = questions(said)[MALIGNANT]
    means = [1 + (patient + nodule) % 5 for patient in range(8) for nodule in range(2)]
    clear = [mean for mean in means if mean != 3]
    assert yes.tolist() == [mean > 3 for mean in clear]
    levels = said.probabilities["malignancy"].reshape(16, 5, 5).mean(axis=1) @ np.arange(1, 6)
    np.testing.assert_allclose(score, levels[[mean != 3 for mean in means]])


def test_each_class_that_some_nodules_have_stands_against_the_rest(said: Predictions) -> None:
    asked = questions(said)
    labels = said.dataset.labels["pathology"]
    present = {said.dataset.label_set.classes[k] for k in np.unique(labels[labels >= 0])}
    assert set(asked) == {MALIGNANT, *(f"pathology: {name}" for name in present)}
    for name in present:
        yes, score = asked[f"pathology: {name}"]
        diagnosed = np.unique(np.flatnonzero(labels >= 0) // 5)  # every nodule has 5 crops
        number = said.dataset.label_set.classes.index(name)
        assert yes.tolist() == (labels[diagnosed * 5] == number).tolist()
        means = said.probabilities["pathology"].reshape(16, 5, 6).mean(axis=1)
        np.testing.assert_allclose(score, means[diagnosed, number])


def test_no_label_no_question(said: Predictions) -> None:
    nothing = said.dataset.subset(np.flatnonzero(said.dataset.labels["malignancy"] == 2))
    nothing.labels["pathology"][:] = -1
    kept = {task: p[: len(nothing)] for task, p in said.probabilities.items()}
    assert questions(Predictions(nothing, kept)) == {}
