"""The four methods of Figure 7 with small networks, of which there is time for many.

Reads the trainings of ``small_networks.py``.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import conditions
from record import Results

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


def measure(folder: Path) -> Results:
    """The scores of the methods, and every difference, by each measure."""
    return conditions.compared(folder, list(ROWS), PAIRS, MEASURES)


def scores(results: Results, *measures: str) -> str:
    """Each method by each measure, or by those that are named."""
    return conditions.scores_table(results, ROWS, *measures)


def pairs(results: Results, measure: str) -> str:
    """The differences by one measure."""
    return conditions.pairs_table(results, ROWS, measure)


example = "python experiments/small_methods.py --runs output/small_networks"
main = conditions.study(__doc__, example, list(ROWS), measure)

if __name__ == "__main__":
    cli.run(main)
