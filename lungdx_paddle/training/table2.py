"""The paper's Table 2 as CSV, and as lines on the screen while training runs."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from lungdx_paddle.disk import append
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.files import UnreadableError, read_text, write_text, writing
from lungdx_paddle.progress import log

PAPER_COLUMNS = (
    "global_step_value",
    "epoch",
    "loss_total_value",
    "accuracy_train_value",
    "accuracy_test_value",
)
"""The paper's five columns; its accuracy is the mean of the two tasks, or that of the only one."""


def table_row(
    step: int, epoch: int, loss: float, accuracies: Mapping[str, Mapping[str, float | None]]
) -> dict[str, str]:
    """{column: text} of one row.

    Args:
        step: counted from 1.
        epoch: full passes over the training images so far.
        loss: total loss of the step.
        accuracies: {"train" | "test": {"total" | task: accuracy or None}}.
    """
    row = dict(zip(PAPER_COLUMNS, (str(step), str(epoch), f"{loss:.7g}")))
    for side, values in accuracies.items():
        for task, value in values.items():
            name = "value" if task == "total" else task
            row[f"accuracy_{side}_{name}"] = "" if value is None else f"{value:.7g}"
    return row


class Table2:
    """Rows of step, epoch, loss and accuracies, kept in a CSV file as they come.

    Args:
        path: ``table2.csv``; an existing one is continued.
        tasks: names of the tasks, whose own accuracies follow the paper's columns.
        keep_until: rows after this step are dropped, for a run that is resumed there; a log line
            says if there is no row of it, as a checkpoint's always was.

    Raises:
        CheckpointError: the file there is no Table 2.
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, tasks: Sequence[str], keep_until: int = 0) -> None:
        self.path, self.tasks = path, tasks
        self.columns = (
            *PAPER_COLUMNS,
            *(f"accuracy_{side}_{task}" for side in ("train", "test") for task in tasks),
        )
        kept = [r for r in read_table2(path) if int(r[PAPER_COLUMNS[0]]) <= keep_until]
        last = int(kept[-1][PAPER_COLUMNS[0]]) if kept else 0
        if last != keep_until:
            lost = (
                "%s was damaged or taken away: it ends at step %d, and the training goes on at %d"
            )
            log.info(lost, path, last, keep_until)
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows({name: row.get(name, "") for name in self.columns} for row in kept)
        write_text(path, text.getvalue())

    def add(
        self,
        step: int,
        epoch: int,
        loss: float,
        accuracies: Mapping[str, Mapping[str, float | None]],
    ) -> dict[str, str]:
        """Append one row, as :func:`table_row` makes it, and return it.

        Raises:
            OutputError: it cannot be written.
        """
        row = table_row(step, epoch, loss, accuracies)
        text = io.StringIO()
        csv.DictWriter(text, self.columns, lineterminator="\n").writerow(row)
        with writing(self.path):
            append(self.path, text.getvalue().encode())
        return row

    @property
    def screen_header(self) -> str:
        """Stands above the rows on the screen."""
        return f"  step  epoch    loss   accuracy: train    test   ({'  '.join(self.tasks)}, test)"

    def screen_line(self, row: Mapping[str, str]) -> str:
        """A row as it is printed while training runs, below :attr:`screen_header`."""

        def shown(name: str, digits: int = 4) -> str:
            return f"{float(row[name]):.{digits}f}" if row.get(name) else "   -  "

        own = "  ".join(f"{shown(f'accuracy_test_{task}'):>9}" for task in self.tasks)
        return (
            f"{row['global_step_value']:>6} {row['epoch']:>6}  {shown('loss_total_value')}"
            f"            {shown('accuracy_train_value')}  {shown('accuracy_test_value')}"
            f"    {own}"
        )


def read_table2(path: Path) -> list[dict[str, str]]:
    """Rows of a table, none if there is no file; a last line that was not finished is none.

    Raises:
        CheckpointError: it is not a Table 2.
    """
    found, rows = "", []
    try:
        text = read_text(path) if path.exists() else ""
        # A training that is killed while it writes leaves a part of a line.
        rows = list(csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
    except (UnreadableError, csv.Error) as error:
        found = str(error)
    bad = next((row for row in rows if not _is_row(row)), None)
    if bad or found:
        raise CheckpointError(
            str(path),
            expected=f"a table with the columns {', '.join(PAPER_COLUMNS)}",
            found=found or f"the row {list(bad.values()) if bad else ''}",
            fix="remove the file (its rows are lost), or choose another output folder",
        )
    return rows


def _is_row(row: Mapping[str, str]) -> bool:
    """Whether it has as many cells as the header, a step, and numbers or nothing."""
    try:
        numbers = [float(row[name] or 0) for name in PAPER_COLUMNS]
        is_step = int(row[PAPER_COLUMNS[0]]) >= 0
    except (KeyError, TypeError, ValueError):
        return False
    # DictReader's None: the name of cells too many, and the value of those that are missing.
    return is_step and all(map(math.isfinite, numbers)) and None not in (*row, *row.values())
