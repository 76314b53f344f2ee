"""The paper's Figure 7: its four methods of sharing against each other.

The runs are those that tools/compare.py leaves in its output folder, beside its figure7.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import record
from record import ROOT, Results
from spread import shown, table

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
        of = row.pop("measure")
        name = f"{of['task']}_{of['score']}_{of['level']}"
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
    measures = measures or tuple(results[split])
    methods = dict.fromkeys(name for m in measures for name in results[split][m]["methods"])
    rows = [
        [_words(name), *(_score(results[split][m]["methods"].get(name)) for m in measures)]
        for name in methods
    ]
    return table([f"split by {split}", *map(_title, measures)], rows)


def pairs(results: Results, split: str, measure: str) -> str:
    """Every pair of methods: the difference, its tests, and what they find."""
    rows = []
    for row in results[split][measure]["pairs"].values():
        p = row["p_holm"]
        rows.append(
            [
                f"{_words(row['first'])} - {_words(row['second'])}",
                shown(row["estimate"]),
                "-" if row["interval90"] is None else "{:.3f} to {:.3f}".format(*row["interval90"]),
                "-" if p is None else f"{p:.2f}" if p >= 0.01 else "< 0.01",
                shown(row["detectable"]),
                _finding(row),
            ]
        )
    head = [f"split by {split}, {_title(measure)}", "difference (95 % interval)"]
    return table([*head, "90 % interval", "p (Holm)", "detectable", "finding"], rows)


def _score(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "-"
    estimate = row["estimate"]
    return shown({**estimate, "mean": estimate["value"], "deviation": row["deviation"]})


def _finding(row: Mapping[str, Any]) -> str:
    same = f"equivalent within {row['margin']:g}" if row["equivalent"] else ""
    return ", ".join(filter(None, ["differs" if row["differs"] else "", same])) or "cannot say"


def _title(measure: str) -> str:
    task, *score, level = measure.split("_")
    return f"{task}: {' '.join(score)} by {level}"


def _words(name: str) -> str:
    return name.replace("_", " ")


example = "python experiments/methods.py --run output/compare/runs/*/*/*"
main = record.command(__doc__, example, measure)

if __name__ == "__main__":
    cli.run(main)
