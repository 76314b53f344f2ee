"""A measure of one training is the number that evaluate gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.measures import AUC, BOTH, MEASURES, Measure
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.ranking import auc
from lungdx_paddle.evaluation.scores import evaluate


def value(measure: Measure, predictions: Predictions) -> float:
    """The mean over the measure's tasks."""
    found = []
    for task in measure.tasks(predictions):
        part = measure.labelled(task, predictions)
        patients = sorted(set(part.patients))
        columns = {name: k for k, name in enumerate(patients)}
        found.append(measure.of_task(task, part, columns)(np.ones((1, len(patients))))[0])
    return float(np.mean(found))


def test_each_is_what_evaluate_gives(golden: tuple[Predictions, dict[str, Any]]) -> None:
    scores = evaluate(golden[0])
    for measure in MEASURES[:-1]:
        level = scores.level(measure.level)
        if measure.task == BOTH:
            wanted = scores.total(measure.level)
        else:
            wanted = getattr(level[measure.task], measure.score).value
        assert value(measure, golden[0]) == pytest.approx(wanted), str(measure)


def test_the_auc_of_pathology_is_of_patients_and_of_two_classes(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    measure = MEASURES[-1]
    assert (measure.score, measure.level) == (AUC, "patient")
    assert measure.tasks(golden[0]) == []  # six classes
    binary = replace(
        golden[0],
        labels={t: k.clip(max=1) for t, k in golden[0].labels.items()},
        probabilities={t: p[:, :2] for t, p in golden[0].probabilities.items()},
        label_set=LABEL_SETS["binary"],
    )
    assert measure.tasks(binary) == ["pathology"]
    patients = binary.pooled("patient")
    known = patients.select(np.flatnonzero(patients.labels["pathology"] >= 0))
    suspicion = known.probabilities["pathology"][:, 1]
    assert value(measure, binary) == auc(known.labels["pathology"] == 1, suspicion)


def test_what_scores_defines_otherwise_is_refused() -> None:
    with pytest.raises(ValueError, match="malignancy is compared by image or nodule"):
        Measure("malignancy", "accuracy", "patient")
