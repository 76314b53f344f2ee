"""Predictions are summed up at image, nodule and patient level, each over what it says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.evaluate import Predictions, image_accuracy, levels, predict
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.models.network import build_network


@pytest.fixture
def dataset(write_crops: Callable[..., Path]) -> NoduleDataset:
    return NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])


def perfect(dataset: NoduleDataset) -> Predictions:
    sizes = {"malignancy": 5, "pathology": 6}
    one_hot = {t: np.eye(n)[np.maximum(dataset.labels[t], 0)] for t, n in sizes.items()}
    return Predictions(dataset, one_hot)


def test_a_perfect_prediction_scores_1_at_every_level(dataset: NoduleDataset) -> None:
    for level in ("image", "nodule", "patient"):
        assert levels(perfect(dataset))[level] == {"total": 1, "malignancy": 1, "pathology": 1}


def test_counts_are_of_images_nodules_and_patients(dataset: NoduleDataset) -> None:
    count = levels(perfect(dataset))["count"]
    assert (count["images"], count["nodules"], count["patients"]) == (80, 16, 8)
    assert count["labelled_images"] == {"malignancy": 80, "pathology": 30}
    assert count["labelled_patients"] == {"malignancy": 8, "pathology": 3}


def test_a_task_that_no_image_labels_has_no_number(dataset: NoduleDataset) -> None:
    undiagnosed = np.flatnonzero(dataset.labels["pathology"] < 0)
    predictions = perfect(dataset.subset(undiagnosed))
    assert image_accuracy(predictions) == {"total": 1, "malignancy": 1, "pathology": None}
    assert levels(predictions)["patient"]["pathology"] is None


def test_predicting_leaves_the_network_as_it_was(dataset: NoduleDataset, configs: Path) -> None:
    network = build_network(load_config(configs / "testing.yaml"))
    network.train()
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    first, second = predict(network, dataset), predict(network, dataset)
    assert network.training
    for name, value in network.state_dict().items():
        assert np.array_equal(before[name], value.numpy()), name
    for task, probabilities in first.probabilities.items():
        assert len(probabilities) == 80
        assert np.array_equal(probabilities, second.probabilities[task])
