"""How much sharing helps, by the least share that is forced, and how much is really shared.

Reads the trainings of ``small_networks.py``: from single-task learning over partial soft sharing
with rising floors to one trunk.  A share is of weights; what flows is measured: the spread of what
an output takes from the other tower, over that plus the spread of what it takes from its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import conditions
from record import Results
from spread import shown, spread, table

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.measures import AUC, Measure
from lungdx_paddle.files import read_json

MEASURES = (
    Measure(MALIGNANCY, "quadratic_kappa", "nodule"),
    Measure(MALIGNANCY, AUC, "nodule"),
    Measure(PATHOLOGY, AUC, "patient"),
    Measure(PATHOLOGY, "balanced_accuracy", "patient"),
)
ROWS = {
    "single_task": "single-task",
    **{f"floor_{floor:g}": f"floor {floor:g}" for floor in (0.0,)},
    "partial_soft": "floor 0.05",
    **{f"floor_{floor:g}": f"floor {floor:g}" for floor in (0.1, 0.2, 0.3, 0.5)},
    "hard": "one trunk",
}
PAIRS = tuple((name, "single_task") for name in ROWS if name != "single_task")


def sharing(folder: Path, seeds: Sequence[int]) -> Results:
    """The shares at each site and the gradients' cosines."""
    results: dict[str, Any] = {"shares": {}, "cosines": {}}
    for name in ROWS:
        own = [read_json(folder / name / f"seed{seed}" / conditions.TRAINING) for seed in seeds]
        results["shares"][name] = {
            site: {key: spread([run["shares"][site][key] for run in own]) for key in found}
            for site, found in own[0]["shares"].items()
        }
        results["cosines"][name] = {
            step: spread([mean(run["cosines"][step]) for run in own]) for step in own[0]["cosines"]
        }
    return results


def shares(results: Results) -> str:
    """What is shared at each site: of weights, of signals, and the outputs on the floor."""
    rows = [
        [ROWS[name], site, *(shown(found[key]) for key in found)]
        for name, sites in results["shares"].items()
        for site, found in sites.items()
    ]
    head = ["share", "site", "mean of signals", "least of signals", "mean of weights"]
    return table([*head, "outputs on the floor"], rows, left=2)


def cosines(results: Results) -> str:
    """Cosine of the two tasks' gradients over all tower weights, early, midway and at the end."""
    rows = [[ROWS[n], *map(shown, found.values())] for n, found in results["cosines"].items()]
    steps = next(iter(results["cosines"].values()))
    return table(["share", *(f"step {step}" for step in steps)], rows)


study = conditions.Study("sharing_dose", __doc__ or "", ROWS, PAIRS, MEASURES, sharing)
scores, pairs, main = study.scores, study.pairs, study.main

if __name__ == "__main__":
    cli.run(main)
