"""How much sharing helps, by the least share that is forced, and how much is really shared.

Reads the trainings of ``small_networks.py``: from single-task learning over partial soft sharing
with rising floors to one trunk.  A share is of weights; what flows is measured: the spread of what
an output takes from the other tower, over that plus the spread of what it takes from its own.
"""

from __future__ import annotations

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


def measure(folder: Path) -> Results:
    """Scores and differences, the shares at each site and the gradients' cosines."""
    results: dict[str, Any] = {**conditions.compared(folder, list(ROWS), PAIRS, MEASURES)}
    results["shares"], results["cosines"] = {}, {}
    for name in ROWS:
        own = [
            read_json(folder / name / f"seed{seed}" / conditions.TRAINING)
            for seed in conditions.seeds_of(folder, list(ROWS))
        ]
        results["shares"][name] = {
            site: {key: spread([run["shares"][site][key] for run in own]) for key in found}
            for site, found in own[0]["shares"].items()
        }
        results["cosines"][name] = {
            step: spread([mean(run["cosines"][step]) for run in own]) for step in own[0]["cosines"]
        }
    return results


def scores(results: Results, *measures: str) -> str:
    """Each dose by each measure, or by those that are named."""
    return conditions.scores_table(results, ROWS, *measures)


def pairs(results: Results, measure: str) -> str:
    """Each dose against single-task learning."""
    return conditions.pairs_table(results, ROWS, measure)


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


example = "python experiments/sharing_dose.py --runs output/small_networks"
main = conditions.study(__doc__, example, list(ROWS), measure)

if __name__ == "__main__":
    cli.run(main)
