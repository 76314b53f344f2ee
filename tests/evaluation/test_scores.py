"""One dict holds every number, with intervals, the readers beside it, and never a NaN."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS, labels_of
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.evaluation.readers import reader_agreement
from lungdx_paddle.evaluation.scores import all_scores, expected_level
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest

SIZES = {"malignancy": 5, "pathology": 6}


@pytest.fixture
def rows(write_crops: Callable[..., Path]) -> list[ManifestRow]:
    return list(read_manifest(write_crops(patients=16)).rows)


def perfect(rows: list[ManifestRow]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    labels = labels_of(Manifest(Path(), tuple(rows)), LABEL_SETS["paper6"])
    return labels, {t: np.eye(n)[np.maximum(labels[t], 0)] for t, n in SIZES.items()}


def scored(rows: list[ManifestRow]) -> dict[str, Any]:
    scores = all_scores(rows, *perfect(rows))
    json.dumps(scores, allow_nan=False)  # raises on a NaN
    return scores


def test_a_perfect_prediction_is_perfect_at_every_level(rows: list[ManifestRow]) -> None:
    scores = scored(rows)
    for level in ("image", "nodule"):
        for name in ("accuracy", "within_one", "quadratic_kappa"):
            assert scores[level]["malignancy"][name]["value"] == 1.0
    for level in ("image", "nodule", "patient"):
        for name in ("accuracy", "balanced_accuracy", "macro_f1"):
            entry = scores[level]["pathology"][name]
            assert (entry["value"], entry["interval"]) == (1.0, [1.0, 1.0])
        assert scores[level]["pathology"]["ece"]["value"] == 0.0
    auc = scores["nodule"]["malignancy"]["auc"]
    # Ratings 1 and 2 are benign, 4 and 5 malignant, 3 is neither.
    levels = [1 + (p + n) % 5 for p in range(16) for n in range(2)]
    assert auc["benign"] == sum(level < 3 for level in levels)
    assert auc["malignant"] == sum(level > 3 for level in levels)
    assert auc["value"] == 1.0


def test_a_nodule_and_a_patient_count_once(rows: list[ManifestRow]) -> None:
    scores = scored(rows)
    labelled = [scores[level]["pathology"]["labelled"] for level in ("image", "nodule", "patient")]
    assert labelled[0] == 5 * labelled[1] == 10 * labelled[2]


def test_the_diagnosis_is_ranked_by_the_most_suspicious_nodule(rows: list[ManifestRow]) -> None:
    # A true level is what a perfect prediction expects: the readers' AUC must be the same.
    scores = scored(rows)
    assert scores["patient"]["diagnosis"]["auc"] == scores["readers"]["diagnosis"]["auc"]


def test_the_expected_level_weighs_the_levels() -> None:
    assert expected_level(np.array([[0.5, 0, 0, 0, 0.5]])) == pytest.approx([3.0])


def test_no_labels_at_all_are_said_and_not_nan(rows: list[ManifestRow]) -> None:
    bare = [replace(row, diagnosis=None, malignancy_ratings=()) for row in rows]
    scores = scored(bare)
    accuracy = scores["image"]["pathology"]["accuracy"]
    assert accuracy["value"] is None and accuracy["why"] == "none has a label for pathology"
    auc = scores["patient"]["diagnosis"]["auc"]
    assert auc["value"] is None and auc["why"] == "an AUC needs both: 0 benign, 0 malignant"
    assert scores["readers"]["one_against_others"]["accuracy"]["value"] is None


def test_one_class_and_one_patient_are_defined(rows: list[ManifestRow]) -> None:
    one = [row for row in rows if row.nodule_key == ("P00", 0)]
    scores = scored(one)
    assert scores["image"]["malignancy"]["accuracy"]["value"] == 1.0
    assert scores["image"]["malignancy"]["accuracy"]["interval"] is None
    kappa = scores["image"]["malignancy"]["quadratic_kappa"]
    assert kappa["value"] is None and "one class" in kappa["why"]
    assert scores["nodule"]["malignancy"]["auc"]["value"] is None


def test_probabilities_that_are_no_numbers_are_an_error(rows: list[ManifestRow]) -> None:
    labels, probabilities = perfect(rows)
    probabilities["pathology"][3, 2] = np.nan
    with pytest.raises(ManifestError, match="predictions of pathology: .* 1 of them not numbers"):
        all_scores(rows, labels, probabilities)
    with pytest.raises(ManifestError, match="found 159 for 160 crops"):
        all_scores(rows, labels, {t: p[1:] for t, p in perfect(rows)[1].items()})


def test_readers_are_compared_once_a_nodule(rows: list[ManifestRow]) -> None:
    # Of 1, 1, 1, 3 the last is two off the others' median 1; each 1 meets the median 1.
    rated = [replace(row, malignancy_ratings=(1, 1, 1, 3)) for row in rows]
    result = reader_agreement(rated)["one_against_others"]
    assert result["accuracy"]["value"] == result["within_one"]["value"] == 0.75
    assert reader_agreement(rated[:1])["one_against_others"]["accuracy"]["value"] == 0.75


@pytest.mark.lidc
def test_real_readers_agree_as_measured(lidc32: Path) -> None:
    result = reader_agreement(read_manifest(lidc32).rows)
    agreement = {k: v["value"] for k, v in result["one_against_others"].items()}
    measured = {"accuracy": 0.420, "within_one": 0.840, "quadratic_kappa": 0.531}
    assert agreement == pytest.approx(measured, abs=1e-3)
    assert result["diagnosis"]["auc"]["value"] == pytest.approx(0.681, abs=1e-3)
