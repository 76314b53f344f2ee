"""A network over a dataset: predictions, then metrics at image, nodule and patient level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.metrics import (
    accuracy,
    group_accuracy,
    most_suspicious_accuracy,
    with_combined,
)
from lungdx_paddle.evaluation.scores import all_scores
from lungdx_paddle.models.network import TwoTaskNetwork

BATCH = 256
"""Images at a time: enough to fill the cores, little memory."""


@dataclass(frozen=True)
class Predictions:
    """What a network says of a dataset."""

    dataset: NoduleDataset
    probabilities: dict[str, np.ndarray]
    """{task: (images, classes) float32}."""

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """{task: (images,) the most probable class}."""
        return {task: p.argmax(axis=1) for task, p in self.probabilities.items()}


def predict(network: TwoTaskNetwork, dataset: NoduleDataset) -> Predictions:
    """Run a network, in inference mode, over all images in order."""
    with _judging(network):
        return Predictions(dataset, _outputs(network.probabilities, dataset))


def features(network: TwoTaskNetwork, dataset: NoduleDataset) -> dict[str, np.ndarray]:
    """{task: (images, fc) float32}: what each head reads, in inference mode, in order."""
    with _judging(network):
        return _outputs(network.features, dataset)


@contextmanager
def _judging(network: TwoTaskNetwork) -> Iterator[None]:
    """Inference mode without gradients; afterwards the network is in its mode again."""
    was_training = network.training
    network.eval()
    try:
        with paddle.no_grad():
            yield
    finally:
        if was_training:
            network.train()


def _outputs(
    run: Callable[[paddle.Tensor], dict[str, paddle.Tensor]], dataset: NoduleDataset
) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {}
    for batch in dataset.batches(BATCH):
        for task, output in run(paddle.to_tensor(batch.images)).items():
            parts.setdefault(task, []).append(output.numpy())
    return {task: np.concatenate(part) for task, part in parts.items()}


def image_accuracy(predictions: Predictions) -> dict[str, float | None]:
    """Accuracy over images: {"total": mean of the tasks, task: its own}."""
    labels, classes = predictions.dataset.labels, predictions.classes
    return with_combined({task: accuracy(labels[task], classes[task]) for task in labels})


def levels(predictions: Predictions) -> dict[str, Any]:
    """Accuracies at each level, and how many images, nodules and patients they rest on.

    Nodule level: the probabilities of a nodule's slices are averaged.  Patient level: for
    pathology the probabilities of all the patient's images are averaged; for malignancy
    the patient's most suspicious nodule is compared.  ``scores`` holds the rest, with
    intervals and the readers' own agreement (:func:`lungdx_paddle.evaluation.scores.all_scores`).
    """
    rows, labels = predictions.dataset.manifest.rows, predictions.dataset.labels
    nodules = [row.nodule_key for row in rows]
    patients = [row.patient_id for row in rows]
    probabilities = predictions.probabilities
    by_patient = {
        MALIGNANCY: most_suspicious_accuracy(
            labels[MALIGNANCY], probabilities[MALIGNANCY], nodules, patients
        ),
        PATHOLOGY: group_accuracy(labels[PATHOLOGY], probabilities[PATHOLOGY], patients),
    }
    by_nodule = {t: group_accuracy(labels[t], probabilities[t], nodules) for t in labels}
    return {
        "image": image_accuracy(predictions),
        "nodule": with_combined(by_nodule),
        "patient": with_combined(by_patient),
        "count": {
            "images": len(rows),
            "nodules": len(set(nodules)),
            "patients": len(set(patients)),
            "labelled_images": {t: int((labels[t] >= 0).sum()) for t in labels},
            "labelled_patients": {
                t: len({patients[i] for i in np.flatnonzero(labels[t] >= 0)}) for t in labels
            },
        },
        "scores": all_scores(rows, labels, probabilities),
    }
