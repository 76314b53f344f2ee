"""The readers beside the network: one truth for both, and both against the diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.data.labels import (
    BENIGN,
    LEVELS,
    MALIGNANCY,
    METASTATIC,
    PATHOLOGY,
    PRIMARY,
    malignancy_class,
)
from lungdx_paddle.evaluation.counts import SCORES, group_confusion, numbered
from lungdx_paddle.evaluation.intervals import (
    Estimate,
    auc_estimate,
    differences,
    each_of_sums,
    estimates,
)
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.manifest import ManifestRow

BENIGN_BELOW, MALIGNANT_ABOVE = 2.5, 3.5
"""Mean rating of a nodule that counts as benign or malignant; between, it is left out."""

DIAGNOSES: Mapping[str, tuple[int, ...]] = {
    "malignant": (PRIMARY, METASTATIC),
    "primary": (PRIMARY,),
    "metastatic": (METASTATIC,),
}
"""{name: codes of the diagnosis table that are told apart from benign ones}."""

DiagnosisAucs = Mapping[str, Mapping[str, Estimate]]
"""{name of :data:`DIAGNOSES`: {by what the patients are ranked: AUC against benign patients}}."""


@dataclass(frozen=True)
class ReadersCompared:
    """Network and readers by the same yardstick: one reader is left out, the others are the truth.

    Each rating of a nodule that has two or more is one comparison: the truth is the median of the
    *other* ratings, halves rounded up, as the labels are.  Against it stand the rating itself and
    the class that the network answers for the nodule.  (The network's own scores are against the
    median of *all* ratings, which has less noise: the two must not be compared.)  A nodule with
    four ratings counts four times.

    Each mapping has ``accuracy``, ``within_one``, ``quadratic_kappa`` and ``mae``.  There is no
    score of a single reader: those of LIDC-IDRI are anonymous, others in each scan, and their
    order in a file means nothing.
    """

    reader: Mapping[str, Estimate]
    network: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    """Network minus reader, in each resample of patients."""
    comparisons: int
    nodules: int


def compare_readers(nodules: Predictions, seed: int = 0) -> ReadersCompared:
    """Compare network and readers with the readers left over.

    Args:
        nodules: pooled by nodule.
        seed: of the bootstrap over patients.
    """
    answered = nodules.classes[MALIGNANCY].tolist()
    truth, own, network, patients = [], [], [], []
    compared = [i for i, row in enumerate(nodules.rows) if len(row.malignancy_ratings) > 1]
    for i in compared:
        ratings = nodules.rows[i].malignancy_ratings
        for reader, rating in enumerate(ratings):
            truth.append(malignancy_class(ratings[:reader] + ratings[reader + 1 :]))
            own.append(rating - 1)
            network.append(answered[i])
            patients.append(nodules.rows[i].patient_id)
    patient, count = numbered(patients)
    of_reader, of_network = (
        each_of_sums(
            group_confusion(
                np.array(truth, dtype=np.int64),
                np.array(answers, dtype=np.int64),
                len(LEVELS),
                patient,
                count,
            ),
            SCORES[MALIGNANCY],
        )
        for answers in (own, network)
    )
    why = "all ratings are the same" if count else "no nodule has two ratings"
    return ReadersCompared(
        reader=estimates(of_reader, count, why, seed),
        network=estimates(of_network, count, why, seed),
        difference=estimates(differences(of_network, of_reader), count, why, seed),
        comparisons=len(truth),
        nodules=len(compared),
    )


def clear_nodules(nodules: Predictions) -> tuple[Predictions, np.ndarray]:
    """The nodules that the readers call benign or malignant, and (n,) bool: malignant.

    Args:
        nodules: pooled by nodule.
    """
    # No rating at all is as unclear as one in the middle.
    middle = (BENIGN_BELOW + MALIGNANT_ABOVE) / 2
    means = np.array([np.mean(row.malignancy_ratings or (middle,)) for row in nodules.rows])
    clear = np.flatnonzero((means < BENIGN_BELOW) | (means > MALIGNANT_ABOVE))
    return nodules.select(clear), means[clear] > MALIGNANT_ABOVE


def binary_rankings(predictions: Predictions) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Binary questions about nodules, with scores, for ROC and precision-recall curves.

    Malignancy: mean rating above 3.5 against below 2.5, by the expected level.  Pathology:
    each class against the rest among the labelled nodules, by its mean probability.

    Returns:
        {question: ((nodules,) bool yes, (nodules,) score, higher for yes)} of those that have
        both a yes and a no.
    """
    nodules = predictions.pooled("nodule")
    clear, malignant = clear_nodules(nodules)
    question = f"malignancy: above {MALIGNANT_ABOVE} against below {BENIGN_BELOW}"
    found = {question: (malignant, clear.expected_levels)}
    for k, name in enumerate(predictions.label_set.classes):
        known = nodules.select(np.flatnonzero(nodules.labels[PATHOLOGY] >= 0))
        yes = known.labels[PATHOLOGY] == k
        found[f"{PATHOLOGY}: {name}"] = (yes, known.probabilities[PATHOLOGY][:, k])
    return {name: (yes, score) for name, (yes, score) in found.items() if 0 < yes.sum() < len(yes)}


def diagnosis_aucs(
    nodules: Predictions, seed: int = 0, readers: bool = True
) -> dict[str, dict[str, Estimate]]:
    """AUCs of the diagnosis: benign patients against malignant, primary and metastatic ones.

    A patient counts by the nodule that is most suspicious: by the network's expected ``level``,
    by the probability of malignant that its ``pathology`` head gives (of a label set that has
    that class), or by the ``readers``' mean rating.

    Args:
        nodules: pooled by nodule.
        seed: of the bootstrap over patients.
        readers: rank by them, too.
    """
    rows = nodules.rows
    every = list(range(len(rows)))
    ranked = {"level": (every, nodules.expected_levels)}
    if readers:
        rated = [i for i in every if rows[i].malignancy_ratings]
        means = np.array([np.mean(rows[i].malignancy_ratings) for i in rated])
        ranked["readers"] = rated, means
    if "malignant" in nodules.label_set.classes and PATHOLOGY in nodules.probabilities:
        malignant = nodules.label_set.classes.index("malignant")
        ranked["pathology"] = (every, nodules.probabilities[PATHOLOGY][:, malignant])
    return {
        name: {
            by: _by_patient([rows[i] for i in chosen], suspicion, codes, seed)
            for by, (chosen, suspicion) in ranked.items()
        }
        for name, codes in DIAGNOSES.items()
    }


def _by_patient(
    nodules: Sequence[ManifestRow], suspicion: np.ndarray, codes: Sequence[int], seed: int
) -> Estimate:
    """AUC of patients with one of the codes against benign ones, by their highest suspicion."""
    highest: dict[str, float] = {}
    positive: dict[str, bool] = {}
    for row, value in zip(nodules, suspicion.tolist()):
        if row.diagnosis == BENIGN or row.diagnosis in codes:
            highest[row.patient_id] = max(value, highest.get(row.patient_id, value))
            positive[row.patient_id] = row.diagnosis in codes
    truth = np.array(list(positive.values()), dtype=bool)
    return auc_estimate(truth, np.array(list(highest.values()), dtype=float), list(highest), seed)
