"""The paper's claim: do cheap malignancy labels help the few pathology labels?

Reads the trainings of ``small_networks.py``: single-task learning, and partial soft sharing with
the malignancy labels of no, a tenth, three tenths and all of the training patients, as they are and
dealt anew among the nodules.  A gain that permuted labels bring as well is no transfer.
"""

from __future__ import annotations

import conditions

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.measures import AUC, Measure

MEASURES = (
    Measure(PATHOLOGY, AUC, "patient"),
    Measure(PATHOLOGY, "balanced_accuracy", "patient"),
    Measure(PATHOLOGY, "accuracy", "image"),
    Measure(MALIGNANCY, "quadratic_kappa", "nodule"),
)
ROWS = {
    "single_task": "single-task learning",
    "kept_0": "no malignancy label",
    "kept_10": "those of 10 % of the patients",
    "permuted_10": "those of 10 %, permuted",
    "kept_30": "those of 30 %",
    "permuted_30": "those of 30 %, permuted",
    "partial_soft": "all malignancy labels",
    "permuted_100": "all, permuted",
}
"""All but the first are partial soft sharing."""
PAIRS = (
    ("partial_soft", "single_task"),
    ("partial_soft", "kept_0"),
    ("partial_soft", "permuted_100"),
    ("kept_10", "kept_0"),
    ("kept_30", "kept_0"),
    ("permuted_100", "kept_0"),
)
"""The differences that the claim is about; no other is looked at."""

study = conditions.Study("claim", __doc__ or "", ROWS, PAIRS, MEASURES)
scores, pairs, main = study.scores, study.pairs, study.main

if __name__ == "__main__":
    cli.run(main)
