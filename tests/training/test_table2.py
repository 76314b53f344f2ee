"""Table 2 as CSV: the paper's columns first, continued where a run is resumed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungdx_paddle.errors import CheckpointError, OutputError
from lungdx_paddle.training.table2 import (
    PAPER_COLUMNS,
    Table2,
    read_table2,
)

TASKS = ("malignancy", "pathology")
ACCURACIES = {
    "train": {"total": 0.75, "malignancy": 0.5, "pathology": 1.0},
    "test": {"total": 0.25, "malignancy": 0.25, "pathology": None},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table of three rows."""
    table = Table2(tmp_path / "table2.csv", TASKS)
    for step in (10, 20, 30):
        table.add(step, step // 10, 1 / step, ACCURACIES)
    return table.path


def test_the_papers_columns_come_first_and_each_tasks_own_follow(path: Path) -> None:
    header, first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert tuple(header.split(",")[:5]) == PAPER_COLUMNS
    assert header.split(",")[5:] == [
        "accuracy_train_malignancy",
        "accuracy_train_pathology",
        "accuracy_test_malignancy",
        "accuracy_test_pathology",
    ]
    assert first == "10,1,0.1,0.75,0.25,0.5,1,0.25,"  # a task without labels has no number


def test_a_resumed_run_drops_the_rows_after_its_checkpoint(path: Path) -> None:
    table = Table2(path, TASKS, keep_until=20)
    table.add(25, 3, 0.5, ACCURACIES)
    assert [row["global_step_value"] for row in read_table2(path)] == ["10", "20", "25"]


def test_a_new_run_begins_an_empty_table(path: Path) -> None:
    Table2(path, TASKS)
    assert read_table2(path) == [] and path.read_text().count("\n") == 1
    assert read_table2(path.with_name("none.csv")) == []


def test_another_file_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "table2.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CheckpointError, match=r"columns global_step_value.* found the row \['1'"):
        Table2(path, TASKS)


def test_a_line_that_was_not_finished_is_no_row(path: Path) -> None:
    whole = path.read_text()
    for cut in (1, 5, 30):
        path.write_text(whole[:-cut])
        assert [row["global_step_value"] for row in read_table2(path)] == ["10", "20"]


@pytest.mark.parametrize(
    "bad",
    [
        b"30,3,x,,,,,,\n",
        b"30,3\n",
        b"-30,3,0.1,,,,,,\n",
        b"1e400,3,0.1,,,,,,\n",
        b"30,3,nan,,,,,,\n",
        b"30,3,0.1,,,,,,,,,,,7\n",
        "²,3,0.1,,,,,,\n".encode(),
        b"\xff\n",
        b"9" * 200_000 + b"\n",
    ],
)
def test_a_damaged_row_is_told_and_the_file_left_as_it_is(path: Path, bad: bytes) -> None:
    path.write_bytes(path.read_bytes() + bad)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="expected a table with the columns .*remove the fil"):
        Table2(path, TASKS, keep_until=20)
    assert path.read_bytes() == before


def test_rows_that_are_lost_are_told(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "lungdx_paddle")
    Table2(path, TASKS, keep_until=30)
    assert not caplog.messages
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:2]))
    Table2(path, TASKS, keep_until=30)
    path.unlink()
    Table2(path, TASKS, keep_until=30)
    first, second = caplog.messages
    assert first.endswith("it ends at step 10, and the training goes on at 30")
    assert second.endswith("it ends at step 0, and the training goes on at 30")


def test_a_folder_or_a_pipe_is_no_table(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("folder", "Is a directory"), ("pipe", "a pipe")):
        with pytest.raises(CheckpointError, match=f"found {found}"):
            Table2(tmp_path / name, TASKS)


def test_a_row_that_cannot_be_written_is_an_output_error(path: Path) -> None:
    table = Table2(path, TASKS)
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match=r"table2.csv: expected a place that can be written to"):
        table.add(10, 1, 0.5, ACCURACIES)


def test_a_row_on_the_screen_stands_below_its_header(path: Path) -> None:
    table = Table2(path, TASKS, keep_until=10)
    line = table.screen_line(read_table2(path)[0])
    assert line.split() == ["10", "1", "0.1000", "0.7500", "0.2500", "0.2500", "-"]
    for shown in ("train", "test"):
        column = table.screen_header.index(f" {shown}") + len(shown)
        assert line[column] != " "
    assert table.screen_header.endswith(" (malignancy  pathology, test)")
