"""What a model's description says of it, whatever it lacks."""

from __future__ import annotations

from typing import Any

import pytest

from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.reporting.model_facts import ModelFacts, model_facts

TASKS = {"malignancy": ["1", "2", "3", "4", "5"], "pathology": ["benign", "malignant"]}
HALF = {"value": "0.5", "interval": ["0.4", "0.6"], "patients": "80", "benign": "16"}


def test_scores_are_read_from_the_texts_of_inference_yml() -> None:
    described = {
        "model": "best",
        "training": {"data": "LIDC-IDRI", "split": "patient"},
        "scores": {
            "part": "10 folds by patient",
            "accuracy_by_nodule": {"malignancy": HALF, "pathology": {"value": "", "patients": "0"}},
            "malignancy_auc_by_nodule": {**HALF, "interval": ""},
            "diagnosis_auc_by_patient": HALF,
        },
    }
    facts = model_facts(described, TASKS)
    assert (facts.name, facts.data, facts.split) == ("best", "LIDC-IDRI", "patient")
    assert facts.scores == {
        "malignancy": {
            "accuracy": Estimate(0.5, (0.4, 0.6), 80),
            "auc": Estimate(0.5, None, 80),
        },
        "pathology": {},
    }
    assert facts.diagnosis == Estimate(0.5, (0.4, 0.6), 80)
    assert not facts.is_phantom and not facts.ranks_disease and not facts.tells_classes


def test_what_rests_on_few_patients_shows_nothing() -> None:
    good = {"value": "0.9", "interval": ["0.8", "1"]}

    def facts(patients: str) -> ModelFacts:
        scores = {"diagnosis_auc_by_patient": {**good, "patients": patients}}
        for name in ("balanced_accuracy", "ece"):
            scores[f"pathology_{name}_by_nodule"] = {**good, "patients": patients}
        return model_facts({"training": {"split": "patient"}, "scores": scores}, TASKS)

    few, many = facts("5"), facts("6")
    assert (few.ranks_disease, few.tells_classes, few.ece("pathology")) == (False, False, None)
    assert many.ranks_disease and many.tells_classes
    assert many.ece("pathology") == Estimate(0.9, (0.8, 1.0), 6)


@pytest.mark.parametrize("data", ["phantom", "phantom, made by a program: of no medical meaning"])
def test_a_phantom_is_known_by_its_name(data: str) -> None:
    assert model_facts({"training": {"data": data}}, TASKS).is_phantom


@pytest.mark.parametrize("described", [{}, {"training": "x", "scores": ["x"]}, {"scores": None}])
def test_what_is_lacking_is_empty(described: dict[str, Any]) -> None:
    facts = model_facts(described, TASKS)
    assert facts.data == facts.split == facts.part == "" and facts.why == "none is recorded"
    assert facts.scores == {"malignancy": {}, "pathology": {}} and facts.diagnosis is None


def test_a_model_without_pathology_has_no_classes_to_tell() -> None:
    facts = model_facts({}, {"malignancy": TASKS["malignancy"]})
    assert facts.classes == 0 and not facts.tells_classes
