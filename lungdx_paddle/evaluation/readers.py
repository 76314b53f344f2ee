"""How well the readers agree: the ceiling that a network's numbers stand under."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import LABEL_SETS, LEVELS, malignancy_class, pathology_class
from lungdx_paddle.evaluation.counts import MALIGNANCY_SCORES, group_confusion
from lungdx_paddle.evaluation.estimate import auc_estimate, estimates, numbered
from lungdx_paddle.manifest import ManifestRow


def reader_agreement(rows: Sequence[ManifestRow], seed: int = 0) -> dict[str, Any]:
    """Each reader against the others, and all of them against the diagnosis.

    A nodule counts once, however many crops it has.  ``one_against_others``: each rating
    of a nodule with two or more against the median of the others, halves rounded up, as
    the labels are.  ``diagnosis``: AUC of the highest mean rating among a patient's
    nodules, benign (code 1) against malignant (2 and 3).

    Args:
        rows: of a manifest.
        seed: of the bootstrap over patients.

    Returns:
        {"one_against_others": {"accuracy", "within_one", "quadratic_kappa"},
        "diagnosis": {"auc"}}, each an estimate (:mod:`lungdx_paddle.evaluation.estimate`).
    """
    nodules = list({row.nodule_key: row for row in rows}.values())
    others, own, patients = _one_against_others(nodules)
    patient, count = numbered(patients)
    counts = group_confusion(others, own, len(LEVELS), patient, count)
    return {
        "one_against_others": estimates(
            counts, MALIGNANCY_SCORES, "no nodule has two ratings", seed
        ),
        "diagnosis": {"auc": _diagnosis(nodules, seed)},
    }


def diagnosed_malignant(row: ManifestRow) -> int:
    """0 benign, 1 malignant (primary or metastatic), -1 unknown or not diagnosed."""
    return pathology_class(row.diagnosis, row.primary_site, LABEL_SETS["binary"])


def _one_against_others(
    nodules: Sequence[ManifestRow],
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    others, own, patients = [], [], []
    for row in nodules:
        ratings = row.malignancy_ratings
        if len(ratings) < 2:
            continue
        for reader, rating in enumerate(ratings):
            others.append(malignancy_class(ratings[:reader] + ratings[reader + 1 :]))
            own.append(rating - 1)
            patients.append(row.patient_id)
    return np.array(others, dtype=np.int64), np.array(own, dtype=np.int64), patients


def _diagnosis(nodules: Sequence[ManifestRow], seed: int) -> dict[str, Any]:
    highest: dict[str, float] = {}
    malignant: dict[str, bool] = {}
    for row in nodules:
        if row.malignancy_ratings and diagnosed_malignant(row) >= 0:
            mean = float(np.mean(row.malignancy_ratings))
            highest[row.patient_id] = max(highest.get(row.patient_id, 0.0), mean)
            malignant[row.patient_id] = diagnosed_malignant(row) == 1
    scores = np.array(list(highest.values()), dtype=float)
    return auc_estimate(np.array(list(malignant.values()), dtype=bool), scores, list(highest), seed)
