"""Predictions become one nested dict of numbers: image, nodule and patient level."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.evaluation.calibration import bin_sums, ece_of, reliability_curve
from lungdx_paddle.evaluation.counts import (
    MALIGNANCY_SCORES,
    PATHOLOGY_SCORES,
    confusion,
    group_confusion,
)
from lungdx_paddle.evaluation.estimate import auc_estimate, estimate, estimates, numbered
from lungdx_paddle.evaluation.metrics import group_mean
from lungdx_paddle.evaluation.readers import diagnosed_malignant, reader_agreement
from lungdx_paddle.manifest import ManifestRow

BENIGN_BELOW, MALIGNANT_ABOVE = 2.5, 3.5
"""Mean rating of a nodule that counts as benign or malignant; between, it is left out."""

_SCORES = {MALIGNANCY: MALIGNANCY_SCORES, PATHOLOGY: PATHOLOGY_SCORES}


def expected_level(probabilities: np.ndarray) -> np.ndarray:
    """(n, 5) probabilities of malignancy levels -> (n,) expected level from 1 to 5."""
    return probabilities @ np.arange(1.0, probabilities.shape[1] + 1)


def all_scores(
    rows: Sequence[ManifestRow],
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
    seed: int = 0,
) -> dict[str, Any]:
    """Every number of a set of predictions, ready for JSON.

    Image level: each labelled crop.  Nodule level: the mean of a nodule's crops'
    probabilities; its AUC ranks mean ratings below 2.5 against above 3.5 by the expected
    level.  Patient level: pathology by the mean of all the patient's crops; diagnosis
    (benign against malignant) by the highest expected level among the patient's nodules,
    the rule by which the readers' ratings are judged beside it.

    Args:
        rows: (n,) of a manifest.
        labels: {task: (n,) classes, -1 for no label}.
        probabilities: {task: (n, classes)}.
        seed: of the bootstrap over patients.

    Returns:
        {"image": {task: scores}, "nodule": {task: scores}, "patient": {"pathology": scores,
        "diagnosis": {"auc"}}, "readers"}: a number is an estimate
        (:mod:`lungdx_paddle.evaluation.estimate`), ``None`` with a ``why`` if undefined.

    Raises:
        ManifestError: there are not as many probabilities as rows, or some are not numbers.
    """
    _check(len(rows), labels, probabilities)
    patients = [row.patient_id for row in rows]
    nodules = [row.nodule_key for row in rows]
    at_nodule = {t: pooled(labels[t], probabilities[t], nodules) for t in labels}
    nodule_rows = list({row.nodule_key: row for row in rows}.values())
    owners = [row.patient_id for row in nodule_rows]
    levels = expected_level(at_nodule[MALIGNANCY][1])
    scores: dict[str, Any] = {
        "image": {t: _task(t, labels[t], probabilities[t], patients, seed) for t in labels},
        "nodule": {t: _task(t, *at_nodule[t], owners, seed) for t in labels},
    }
    scores["nodule"][MALIGNANCY]["auc"] = _nodule_auc(nodule_rows, levels, seed)
    by_patient = pooled(labels[PATHOLOGY], probabilities[PATHOLOGY], patients)
    scores["patient"] = {
        PATHOLOGY: _task(PATHOLOGY, *by_patient, list(dict.fromkeys(patients)), seed),
        "diagnosis": {"auc": _diagnosis_auc(nodule_rows, levels, seed)},
    }
    scores["readers"] = reader_agreement(rows, seed)
    return scores


def _check(
    rows: int, labels: Mapping[str, np.ndarray], probabilities: Mapping[str, np.ndarray]
) -> None:
    for task in labels:
        given = probabilities[task]
        if len(given) == len(labels[task]) == rows and rows and np.isfinite(given).all():
            continue
        bad = int((~np.isfinite(given)).any(axis=1).sum())
        raise ManifestError(
            f"the predictions of {task}",
            expected=f"one row of probabilities for each of {max(rows, 1)} or more crops",
            found=f"{len(given)} for {rows} crops, {bad} of them not numbers",
            fix="predict the crops again with a model whose training ended well",
        )


def pooled(
    labels: np.ndarray, probabilities: np.ndarray, groups: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    """Each group's label and mean probabilities, in order of first appearance.

    A group's label is its highest, as in a patient of whom one nodule only is labelled.

    Args:
        labels: (n,) classes, -1 for no label.
        probabilities: (n, classes).
        groups: (n,) what each image belongs to.

    Returns:
        (groups,) classes and (groups, classes) probabilities.
    """
    highest: dict[Hashable, int] = {}
    for group, label in zip(groups, labels.tolist()):
        highest[group] = max(label, highest.get(group, -1))
    means = group_mean(probabilities, groups)
    return np.array(list(highest.values())), np.array(list(means.values()))


def _task(
    task: str, labels: np.ndarray, probabilities: np.ndarray, owners: list[str], seed: int
) -> dict[str, Any]:
    classes = probabilities.shape[1]
    known = labels >= 0
    labels, probabilities = labels[known], probabilities[known]
    patient, patients = numbered([o for o, is_known in zip(owners, known) if is_known])
    predicted = probabilities.argmax(axis=1)
    why = f"none has a label for {task}"
    counts = group_confusion(labels, predicted, classes, patient, patients)
    bins = bin_sums(labels, probabilities, patient, patients)
    return {
        "labelled": len(labels),
        **estimates(counts, _SCORES[task], why, seed),
        "ece": estimate(bins, ece_of, why, seed),
        "reliability": reliability_curve(labels, probabilities),
        "confusion": confusion(labels, predicted, classes).tolist(),
    }


def clear_nodules(
    rows: Sequence[ManifestRow], probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The nodules that the readers call benign or malignant, for a ROC curve.

    Args:
        rows: (n,) of a manifest.
        probabilities: (n, 5) of malignancy levels.

    Returns:
        (nodules,) bool, malignant; (nodules,) the expected level of the mean probabilities.
    """
    nodules = [row.nodule_key for row in rows]
    levels = expected_level(np.array(list(group_mean(probabilities, nodules).values())))
    means = _mean_ratings(list({row.nodule_key: row for row in rows}.values()))
    clear = _is_clear(means)
    return means[clear] > MALIGNANT_ABOVE, levels[clear]


def _mean_ratings(nodules: Sequence[ManifestRow]) -> np.ndarray:
    # No rating at all is as unclear as one in the middle.
    middle = (BENIGN_BELOW + MALIGNANT_ABOVE) / 2
    return np.array([np.mean(row.malignancy_ratings or (middle,)) for row in nodules])


def _is_clear(means: np.ndarray) -> np.ndarray:
    return np.asarray((means < BENIGN_BELOW) | (means > MALIGNANT_ABOVE))


def _nodule_auc(rows: Sequence[ManifestRow], levels: np.ndarray, seed: int) -> dict[str, Any]:
    means = _mean_ratings(rows)
    clear = np.flatnonzero(_is_clear(means))
    owners = [rows[i].patient_id for i in clear.tolist()]
    return auc_estimate(means[clear] > MALIGNANT_ABOVE, levels[clear], owners, seed)


def _diagnosis_auc(rows: Sequence[ManifestRow], levels: np.ndarray, seed: int) -> dict[str, Any]:
    highest: dict[str, float] = {}
    malignant: dict[str, bool] = {}
    for row, level in zip(rows, levels.tolist()):
        if diagnosed_malignant(row) >= 0:
            highest[row.patient_id] = max(level, highest.get(row.patient_id, level))
            malignant[row.patient_id] = diagnosed_malignant(row) == 1
    truth = np.array(list(malignant.values()), dtype=bool)
    return auc_estimate(truth, np.array(list(highest.values()), dtype=float), list(highest), seed)
