"""Files and folders of a queue: whole or not there, after a power cut too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.files import NEW


def files_in(folder: Path) -> list[Path]:
    """What is in a folder, if it is there."""
    return list(folder.iterdir()) if folder.is_dir() else []


def write_durably(path: Path, content: Sequence[bytes | memoryview]) -> None:
    """Write a file that is whole or not there, and on the disk when this returns."""
    new = path.with_name(path.name + NEW)
    try:
        with open(new, "wb") as file:
            file.writelines(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # Windows opens no folder
        place = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a folder; into one that is there, file by file."""
    if not target.exists():
        source.rename(target)
        return
    for path in source.iterdir():
        if path.is_dir():
            move_into_place(path, target / path.name)
        elif not (target / path.name).exists():
            path.rename(target / path.name)
    remove(source)


def remove(path: Path) -> None:
    """Remove a file, or a folder and all in it."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
