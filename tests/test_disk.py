"""What a function has written is on the disk when it returns: a power cut takes none of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.disk import append, make_folder, put_in_place, sync
from lungdx_paddle.files import new_folder, write_text, write_together


def test_files_are_on_the_disk_before_they_are_renamed_and_their_names_after(
    tmp_path: Path, disk: Any
) -> None:
    write_together({tmp_path / "a": b"1", tmp_path / "b": b"22"})
    write_text(tmp_path / "a", "another")
    assert disk.lost(tmp_path) == set() and disk.too_soon == []
    (tmp_path / "a").write_text("changed by somebody else")
    (tmp_path / "c").touch()
    assert disk.lost(tmp_path) == {"a", "c"}, "what it sees"


def test_a_folder_of_many_files_is_there_as_a_whole(tmp_path: Path, disk: Any) -> None:
    (tmp_path / "list.csv").touch()
    for content in ("old", "new"):
        with new_folder(tmp_path / "a" / "b" / "crops", tmp_path / "list.csv") as new:
            (new / "patient").mkdir()
            for number in range(20):
                (new / "patient" / f"{number}.jpg").write_text(content)
    assert len(list(tmp_path.rglob("*.jpg"))) == 20
    assert disk.lost(tmp_path) == set() and disk.too_soon == []


def test_a_list_is_gone_before_the_files_that_it_lists(tmp_path: Path, disk: Any) -> None:
    table, crops = tmp_path / "list.csv", tmp_path / "crops"
    with new_folder(crops) as new:
        (new / "1.jpg").touch()
    write_text(table, "1.jpg")
    seen = []
    fsync = os.fsync

    def look(file: int) -> None:
        fsync(file)
        if "list.csv" not in disk.names[tmp_path.stat().st_ino]:
            seen.append((crops / "1.jpg").is_file())

    with pytest.MonkeyPatch.context() as patch, new_folder(crops, table):
        patch.setattr(os, "fsync", look)
    assert seen[0]


def test_all_folders_that_were_made_are_there(tmp_path: Path, disk: Any) -> None:
    make_folder(tmp_path / "a" / "b" / "c", 0o700)
    make_folder(tmp_path / "a" / "b")
    assert disk.lost(tmp_path) == set()
    assert (tmp_path / "a" / "b" / "c").stat().st_mode & 0o777 == 0o700


def test_a_line_is_added_to_the_end_and_on_the_disk(tmp_path: Path, disk: Any) -> None:
    write_text(tmp_path / "a", "1\n")
    assert append(tmp_path / "a", b"2\n") == 4
    assert (tmp_path / "a").read_text() == "1\n2\n" and disk.lost(tmp_path) == set()


def test_what_another_has_put_in_place_is_left_out_if_that_may_be(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    renames = {tmp_path / "a": tmp_path / "x", tmp_path / "b": tmp_path / "y"}
    put_in_place(renames, lost_ok=True)
    assert [path.name for path in tmp_path.iterdir()] == ["y"]
    with pytest.raises(FileNotFoundError):
        put_in_place(renames)


def test_a_file_system_without_fsync_of_folders_is_none_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network's; that of a file is an error, as its content may be lost."""
    write_text(tmp_path / "a", "1")

    def refused(file: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refused)
    sync([tmp_path])
    for paths in ([tmp_path / "a"], [tmp_path, tmp_path / "a"]):
        with pytest.raises(OSError, match="Invalid argument"):
            sync(paths)
