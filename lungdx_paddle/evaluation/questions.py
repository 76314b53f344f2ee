"""The yes-or-no questions that a PR or ROC curve can answer, by nodule."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.evaluate import Predictions
from lungdx_paddle.evaluation.scores import BENIGN_BELOW, MALIGNANT_ABOVE, clear_nodules, pooled

Answers = tuple[np.ndarray, np.ndarray]
"""(nodules,) bool, yes; (nodules,) the network's score, higher for yes."""


def questions(predictions: Predictions) -> dict[str, Answers]:
    """Every question that has both a yes and a no among the nodules.

    Malignancy: mean rating above 3.5 against below 2.5, by the expected level.  Pathology:
    each class against the rest, among the nodules with a label, by its mean probability.

    Returns:
        {question in words: answers}; empty where no task has two sides.
    """
    asked = {
        f"malignancy: above {MALIGNANT_ABOVE} against below {BENIGN_BELOW}": clear_nodules(
            predictions.dataset.manifest.rows, predictions.probabilities[MALIGNANCY]
        ),
        **dict(_one_against_rest(predictions)),
    }
    return {name: found for name, found in asked.items() if 0 < found[0].sum() < len(found[0])}


def _one_against_rest(predictions: Predictions) -> Iterator[tuple[str, Answers]]:
    dataset = predictions.dataset
    labels, probabilities = pooled(
        dataset.labels[PATHOLOGY],
        predictions.probabilities[PATHOLOGY],
        [row.nodule_key for row in dataset.manifest.rows],
    )
    known = labels >= 0
    for number, name in enumerate(dataset.label_set.classes):
        yes = labels[known] == number
        yield f"pathology: {name}", (yes, probabilities[known, number])
