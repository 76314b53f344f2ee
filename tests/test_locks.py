"""Two processes do not write into one folder at the same time."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lungdx_paddle import locks
from lungdx_paddle.disk import NEW
from lungdx_paddle.errors import OutputError
from lungdx_paddle.locks import LOCK, alone_in

Another = Callable[[Path], AbstractContextManager[subprocess.Popen[str]]]


def test_a_folder_in_use_is_refused_and_its_user_named(tmp_path: Path, another_in: Another) -> None:
    with another_in(tmp_path) as other, pytest.raises(OutputError) as refused, alone_in(tmp_path):
        pass
    assert f"found process {other.pid} on " in str(refused.value)
    assert str(refused.value).startswith(f"{tmp_path}: expected a folder that no other process")


def test_a_killed_process_holds_nothing(tmp_path: Path, another_in: Another) -> None:
    with another_in(tmp_path) as other:
        other.kill()
        other.wait()
        assert (tmp_path / LOCK).is_file()
        with alone_in(tmp_path) as waited:
            assert not waited
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_was_writing_is_removed_and_no_other_file(
    tmp_path: Path, another_in: Another
) -> None:
    half, mine = tmp_path / f"card.md.{'0a' * 16}{NEW}", tmp_path / f"mine{NEW}"
    for path in (half, mine):
        path.write_text("half")
    with alone_in(tmp_path):  # nobody was killed: another may be writing it
        assert half.is_file()
    with another_in(tmp_path) as other:
        other.kill()
        other.wait()
        with alone_in(tmp_path):
            assert not half.exists() and mine.is_file()


def test_who_waits_says_so_and_enters_when_the_other_ends(
    tmp_path: Path,
    another_in: Another,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", logger="lungdx_paddle")
    with another_in(tmp_path) as other:
        ends: Callable[[float], object] = lambda _: other.communicate("\n")  # noqa: E731
        monkeypatch.setattr(locks.time, "sleep", ends)
        with alone_in(tmp_path, wait=True) as waited:
            assert waited
    assert len(caplog.messages) == 1 and f"Waiting for process {other.pid}" in caplog.text


def test_a_process_enters_its_own_folder_again_and_leaves_nothing_there(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    with alone_in(folder), alone_in(tmp_path / "new" / ".." / "new" / "run"):
        assert str(os.getpid()) in (folder / LOCK).read_text()
    assert list(folder.iterdir()) == []
    with alone_in(folder):  # a later one finds it free
        pass


def test_a_link_of_the_locks_name_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "somebodys file"
    target.write_text("kept")
    (tmp_path / LOCK).symlink_to(target)
    with pytest.raises(OutputError, match=LOCK), alone_in(tmp_path):
        pass
    assert target.read_text() == "kept"


def test_a_file_system_without_locks_is_told_and_the_work_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(file: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "_lock", none)
    with alone_in(tmp_path):
        pass
    assert "no locks here (No locks available)" in caplog.text


def test_a_folder_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(OutputError, match="/proc/x: expected a place"), alone_in(Path("/proc/x")):
        pass
