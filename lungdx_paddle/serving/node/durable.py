"""Folders of a queue."""

from __future__ import annotations

import shutil
from pathlib import Path

from lungdx_paddle.disk import make_folder, put_in_place


def files_in(folder: Path) -> list[Path]:
    """What is in a folder, if it is there."""
    return list(folder.iterdir()) if folder.is_dir() else []


def move_into_place(source: Path, target: Path) -> None:
    """Rename a folder; into one that is there, file by file."""
    if not target.exists():
        put_in_place({source: target})
        return
    paths = [path for path in source.rglob("*") if not path.is_dir()]
    renames = {path: target / path.relative_to(source) for path in paths}
    renames = {path: new for path, new in renames.items() if not new.exists()}
    for folder in {new.parent for new in renames.values()}:
        make_folder(folder)
    put_in_place(renames)
    remove(source)


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
