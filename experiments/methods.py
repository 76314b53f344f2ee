"""The paper's Figure 7: its four methods against each other, by image and by patient.

The runs are those that tools/compare.py leaves in its output folder, where its tables are, too.
"""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import record
from record import ROOT, Results
from spread import shown, table

from lungdx_paddle.commands import cli
from lungdx_paddle.files import read_json, read_text

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

FIGURE = ROOT / "docs" / "images" / "figure7.png"


def measure(runs: Sequence[Run]) -> Results:
    """The tables of ``compare.py``, and its figure, which is copied to the docs' images."""
    folder = runs[0].folder.parents[3]  # runs/SPLIT/METHOD/SEED
    shutil.copyfile(folder / "figure7.png", FIGURE)
    if (folder / "figure7.json").is_file():
        found: dict[str, Any] = read_json(folder / "figure7.json")
        return found
    tables = {"accuracies": "figure7.csv", "differences": "figure7_tests.csv"}
    return {
        name: list(csv.DictReader(io.StringIO(read_text(folder / file))))
        for name, file in tables.items()
    }


def rows(results: Results, name: str, *columns: str) -> str:
    """One of compare's tables: all columns, or those that are named."""
    found: Sequence[Mapping[str, Any]] = results[name]
    columns = columns or tuple(found[0])
    cells = [[_cell(row[column]) for column in columns] for row in found]
    left = sum(isinstance(found[0][c], str) and not _is_number(found[0][c]) for c in columns)
    return table([column.replace("_", " ") for column in columns], cells, left)


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return shown(value).replace(";", ", ").replace("_", " ") or "-"


def _is_number(text: str) -> bool:
    try:
        float(text.partition(";")[0])
    except ValueError:
        return False
    return True


example = "python experiments/methods.py --run output/compare/runs/*/*/*"
main = record.command(__doc__, example, measure)

if __name__ == "__main__":
    cli.run(main)
