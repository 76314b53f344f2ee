"""The paper's Figure 7: its four methods of sharing against each other.

The runs are those that tools/compare.py leaves in its output folder, beside its figure7.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import record
from comparisons import key_of, pairs_table, scores_table, words_of
from record import ROOT, Results

from lungdx_paddle.commands import cli
from lungdx_paddle.files import read_json

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

FIGURE = ROOT / "docs" / "images" / "figure7.png"


def measure(runs: Sequence[Run]) -> Results:
    """``{split: {measure: {"methods": {name: score}, "pairs": {first_second: difference}}}}``.

    A measure is named as in ``both_accuracy_image``.  The figure is copied to the docs' images.
    """
    folder = runs[0].folder.parents[3]  # runs/SPLIT/METHOD/SEED
    found = read_json(folder / "figure7.json")
    results: dict[str, Any] = {}
    for row in [*found["scores"], *found["differences"]]:
        name = key_of(row.pop("measure"))
        split = results.setdefault(row.pop("split"), {})
        entry = split.setdefault(name, {"methods": {}, "pairs": {}})
        if "method" in row:
            entry["methods"][row.pop("method")] = row
        else:
            entry["pairs"][f"{row['first']}_{row['second']}"] = row
    shutil.copyfile(folder / "figure7.png", FIGURE)
    return results


def scores(results: Results, split: str, *measures: str) -> str:
    """The methods on one split by each measure, or by those that are named."""
    found = {m: results[split][m]["methods"] for m in measures or results[split]}
    names = dict.fromkeys(name for methods in found.values() for name in methods)
    return scores_table(f"split by {split}", found, words_of(list(names)))


def pairs(results: Results, split: str, measure: str) -> str:
    """Every pair of methods: the difference, its tests, and what they find."""
    of = results[split][measure]
    return pairs_table(measure, of["pairs"].values(), words_of(list(of["methods"])))


example = "python experiments/methods.py --run output/compare/runs/*/*/*"
main = record.command(__doc__, example, measure)

if __name__ == "__main__":
    cli.run(main)
