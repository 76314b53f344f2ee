"""Files are whole or not there, whoever writes them and whenever a writer is killed."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import OutputError
from lungdx_paddle.files import (
    ABANDONED_S,
    UnreadableError,
    open_file,
    read_file,
    read_json,
    read_text,
    writable_folder,
    write_text,
    write_together,
)


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    with open_file(tmp_path / "a") as file:
        assert read_file(tmp_path / "a") == file.read() == b"12345"
    for name in ("pipe", "endless"):
        with pytest.raises(OSError, match="a pipe, a socket or a device, no file"):
            read_file(tmp_path / name)
    with pytest.raises(OSError, match="No such file"):
        read_file(tmp_path / "b")
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_a_file_is_read_up_to_a_size(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert read_file(tmp_path / "a", at_most=5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_file(tmp_path / "a", at_most=4)


def test_a_path_that_no_file_can_have_is_an_error_of_the_system() -> None:
    for path in ("a\0b", "x" * 5000):
        with pytest.raises(OSError, match="a path that no file can have|File name too long"):
            read_file(path)


def test_a_text_is_read_as_it_is_or_the_reason_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes("\ufeffü\r\n".encode())
    assert read_text(path) == "ü\r\n"
    path.write_bytes(b"\xfc")
    with pytest.raises(UnreadableError, match="bytes that are not UTF-8"):
        read_text(path)
    with pytest.raises(UnreadableError, match="No such file"):
        read_text(tmp_path / "b")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "an empty file"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "JSON that is nested too deep"),
        (b'{"loss": NaN}', "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"[1e400]", "1e400 is no finite number"),
        (b"\xff", "bytes that are not UTF-8"),
    ],
)
def test_what_is_no_json_is_told(tmp_path: Path, content: bytes, found: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UnreadableError, match=found):
        read_json(tmp_path / "a")


def test_a_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder.is_dir() and not list(folder.iterdir())


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: expected a place that can be written to"):
        writable_folder(tmp_path / "file")
    with pytest.raises(OutputError, match="choose another folder"):
        writable_folder(tmp_path / "file" / "below")


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\nb\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\nb\r\n".encode()
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_what_is_no_file_is_not_replaced_and_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, found in (("folder", "a folder"), ("pipe", "a device or a pipe")):
        with pytest.raises(OutputError, match=f"expected the path of a file, found {found}"):
            write_text(tmp_path / name, "new")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"


def test_files_that_belong_together_are_all_written(tmp_path: Path) -> None:
    contents = {tmp_path / "a": b"1", tmp_path / "b": b"22"}
    write_together(contents)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == contents


def test_on_a_full_disk_the_earlier_files_stay_and_nothing_is_left_over(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    before = {tmp_path / "a": b"old", tmp_path / "b": b"old"}
    write_together(before)
    with full_disk(100), pytest.raises(OutputError, match="a: expected a place that can be"):
        write_together({tmp_path / "a": b"new", tmp_path / "b": b"new" * 1000})
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


WRITE_AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from lungdx_paddle.files import write_together
a, b = Path(sys.argv[1], "a"), Path(sys.argv[1], "b")
print("ready", flush=True)
sys.stdin.readline()
for _ in range(500):
    write_together({a: sys.argv[2].encode() * 9999, b: sys.argv[2].encode()})
"""


def test_two_processes_that_write_one_file_do_not_disturb_each_other(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_AGAIN_AND_AGAIN, str(tmp_path)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    seen = set()
    with contextlib.ExitStack() as both:
        writers = [both.enter_context(subprocess.Popen([*command, x], **pipes)) for x in "xy"]
        assert [writer.stdout.readline() for writer in writers] == [b"ready\n"] * 2
        for writer in writers:
            writer.stdin.close()  # go
        while any(writer.poll() is None for writer in writers):
            with contextlib.suppress(FileNotFoundError):  # until the first is there
                seen.add((tmp_path / "a").read_bytes())
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen <= {b"x" * 9999, b"y" * 9999}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


KILLED_WHILE_IT_WRITES = """
import os, sys
from pathlib import Path
from lungdx_paddle.files import write_text
os.replace = lambda *_: os.kill(os.getpid(), 9)
write_text(Path(sys.argv[1], "a"), "new")
"""


def test_what_a_killed_process_left_is_not_taken_for_whole_and_removed_in_time(
    tmp_path: Path,
) -> None:
    write_text(tmp_path / "a", "old")
    command = [sys.executable, "-c", KILLED_WHILE_IT_WRITES, str(tmp_path)]
    assert subprocess.run(command, check=False).returncode != 0
    assert (tmp_path / "a").read_text() == "old"
    [left] = set(tmp_path.iterdir()) - {tmp_path / "a"}

    write_text(tmp_path / "a", "newer")
    assert left.exists()  # its writer may still be at work
    an_hour_ago = time.time() - ABANDONED_S - 1
    os.utime(left, (an_hour_ago, an_hour_ago))
    write_text(tmp_path / "b", "another file")
    assert left.exists()
    write_text(tmp_path / "a", "newest")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a": "newest",
        "b": "another file",
    }
