"""The log of a run is continued where it is whole, and what is lost of it is told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.errors import CheckpointError, OutputError
from lungdx_paddle.training.dashboard import LOG_NAME, Dashboard, read_scalar

LAST = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A log of five steps."""
    with Dashboard(tmp_path / "vdl") as dashboard:
        for step in range(1, LAST + 1):
            dashboard.scalars(step, {"loss/total": 1 / step, "a": 0.0})
            dashboard.text(f"note {step}", "x")
    return tmp_path / "vdl"


def steps(folder: Path) -> list[int]:
    found: list[int] = read_scalar(folder, "loss/total")[0].tolist()
    return found


def resume(folder: Path, step: int) -> None:
    with Dashboard(folder, keep_until=step):
        pass


def test_a_whole_log_is_continued_without_a_word(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lungdx_paddle")
    resume(folder, 3)
    assert steps(folder) == [1, 2, 3] and not caplog.messages
    assert [path.name for path in folder.iterdir()] == [LOG_NAME]


def test_a_record_that_was_not_finished_goes(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lungdx_paddle")
    os.truncate(folder / LOG_NAME, (folder / LOG_NAME).stat().st_size - 1)
    resume(folder, LAST)
    assert steps(folder) == [1, 2, 3, 4, 5] and not caplog.messages


def test_a_damaged_record_is_left_out_and_told_and_the_later_ones_stay(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "lungdx_paddle")
    path = folder / LOG_NAME
    content = path.read_bytes()
    second = content.index(b"loss/total", content.index(b"loss/total") + 1)
    path.write_bytes(content[:second] + b"\xff" * 10 + content[second + 10 :])
    resume(folder, LAST)
    assert steps(folder) == [1, 3, 4, 5]
    assert caplog.messages == [f"{path}: left out 1 damaged record"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 300, b"no log"])
def test_a_log_that_is_lost_is_told(
    folder: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    caplog.set_level("INFO", "lungdx_paddle")
    (folder / LOG_NAME).write_bytes(content)
    resume(folder, LAST)
    assert caplog.messages[-1].endswith("it ends at step 0, and the training goes on at 5")


def test_random_damage_is_never_more_than_a_word(folder: Path) -> None:
    random, path = np.random.default_rng(0), folder / LOG_NAME
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(200):
        damaged = whole.copy()
        places = random.integers(0, len(whole), 5)
        damaged[places] = random.integers(0, 256, 5)
        path.write_bytes(damaged.tobytes())
        resume(folder, LAST)
        assert all(step <= LAST for step in steps(folder))


def test_a_folder_a_pipe_or_a_huge_file_is_no_log(folder: Path) -> None:
    path = folder / LOG_NAME
    os.truncate(path, 2**36)
    with pytest.raises(CheckpointError, match=f"{LOG_NAME}: expected the log .*more than .* bytes"):
        resume(folder, LAST)
    path.unlink()
    os.mkfifo(path)
    for read in (steps, lambda f: resume(f, LAST)):
        with pytest.raises(CheckpointError, match="found a pipe, .*remove it"):
            read(folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(CheckpointError, match="Is a directory"):
        resume(folder, LAST)


def test_a_file_in_the_way_of_the_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "vdl").touch()
    with pytest.raises(OutputError, match="vdl: expected a place that can be written to"):
        Dashboard(tmp_path / "vdl")
