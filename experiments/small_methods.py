"""The four methods of Figure 7 with small networks, of which there is time for many.

Reads the trainings of ``small_networks.py``.
"""

from __future__ import annotations

from itertools import combinations

import conditions

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.measures import AUC, BOTH, Measure

MEASURES = (
    Measure(BOTH, "accuracy", "image"),
    Measure(MALIGNANCY, "quadratic_kappa", "nodule"),
    Measure(MALIGNANCY, AUC, "nodule"),
    Measure(PATHOLOGY, AUC, "patient"),
)
ROWS = {
    "single_task": "single-task",
    "hard": "hard",
    "soft": "soft",
    "partial_soft": "partial soft",
}
PAIRS = tuple(combinations(ROWS, 2))

study = conditions.Study("small_methods", __doc__ or "", ROWS, PAIRS, MEASURES)
scores, pairs, main = study.scores, study.pairs, study.main

if __name__ == "__main__":
    cli.run(main)
