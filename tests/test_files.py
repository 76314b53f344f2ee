"""Files are whole or not there, whenever the process is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungdx_paddle.errors import OutputError
from lungdx_paddle.files import finish_writing, writable_folder, write_text, write_together


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


@pytest.mark.parametrize("killed_after", range(5))
def test_two_files_are_never_of_different_times(tmp_path: Path, killed_after: int) -> None:
    """Steps of a writing: new a, new b, rename a, rename b; killed after each of them."""
    a, b = tmp_path / "a", tmp_path / "b"
    write_together({a: b"old", b: b"old"})
    steps = (
        lambda: (tmp_path / "a.new").write_bytes(b"new"),
        lambda: (tmp_path / "b.new").write_bytes(b"new"),
        lambda: (tmp_path / "a.new").rename(a),
        lambda: (tmp_path / "b.new").rename(b),
    )
    for step in steps[:killed_after]:
        step()
    finish_writing([a, b])
    assert a.read_bytes() == b.read_bytes() == (b"new" if killed_after >= 3 else b"old")
