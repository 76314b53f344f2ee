"""Inter-reader agreement, the reference for the network's scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.data.labels import (
    LABEL_SETS,
    LEVELS,
    MALIGNANCY,
    malignancy_class,
    pathology_class,
)
from lungdx_paddle.evaluation.counts import SCORES, group_confusion, numbered
from lungdx_paddle.evaluation.intervals import Estimate, auc_estimate, estimates, of_sums
from lungdx_paddle.manifest import ManifestRow


@dataclass(frozen=True)
class ReaderAgreement:
    """Each reader against the others, and the readers together against the diagnosis.

    The first three compare each rating of a nodule that has two or more with the median of
    the others, halves rounded up, as the labels are.
    """

    accuracy: Estimate
    within_one: Estimate
    quadratic_kappa: Estimate
    diagnosis_auc: Estimate
    """Benign (code 1) against malignant (2 and 3) patients, ranked by the highest mean rating
    among a patient's nodules."""


def reader_agreement(rows: Sequence[ManifestRow], seed: int = 0) -> ReaderAgreement:
    """How well the readers agree; a nodule counts once, however many crops it has.

    Args:
        rows: of a manifest.
        seed: of the bootstrap over patients.
    """
    nodules = {row.nodule_key: row for row in rows}.values()
    others, own, patients = [], [], []
    for row in nodules:
        ratings = row.malignancy_ratings
        for reader, rating in enumerate(ratings if len(ratings) > 1 else ()):
            others.append(malignancy_class(ratings[:reader] + ratings[reader + 1 :]))
            own.append(rating - 1)
            patients.append(row.patient_id)
    patient, count = numbered(patients)
    compared = np.array(others, dtype=np.int64), np.array(own, dtype=np.int64)
    counts = group_confusion(*compared, len(LEVELS), patient, count)
    statistics = {name: of_sums(counts, score) for name, score in SCORES[MALIGNANCY].items()}
    why = "all ratings are the same" if count else "no nodule has two ratings"
    rated = [row for row in nodules if row.malignancy_ratings]
    means = np.array([np.mean(row.malignancy_ratings) for row in rated])
    return ReaderAgreement(
        **estimates(statistics, count, why, seed),
        diagnosis_auc=diagnosis_auc(rated, means, seed),
    )


def diagnosis_auc(nodules: Sequence[ManifestRow], suspicion: np.ndarray, seed: int = 0) -> Estimate:
    """AUC of the diagnosis, benign against malignant, by a patient's most suspicious nodule.

    Args:
        nodules: (n,) a row each; patients without either diagnosis are left out.
        suspicion: (n,) numbers, higher for malignant.
        seed: of the bootstrap over patients.
    """
    highest: dict[str, float] = {}
    malignant: dict[str, bool] = {}
    for row, value in zip(nodules, suspicion.tolist()):
        label = pathology_class(row.diagnosis, row.primary_site, LABEL_SETS["binary"])
        if label >= 0:
            highest[row.patient_id] = max(value, highest.get(row.patient_id, value))
            malignant[row.patient_id] = label == 1
    truth = np.array(list(malignant.values()), dtype=bool)
    return auc_estimate(truth, np.array(list(highest.values()), dtype=float), list(highest), seed)
