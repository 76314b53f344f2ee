"""Put files and folders on the disk, so that a power cut takes away no more than a kill does.

What is written here, and its name in its folder, is on the disk when the function returns.  Each
function raises the OSError of what it cannot do; :mod:`lungdx_paddle.files` has its words.
"""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import takewhile
from pathlib import Path

_LATER = ContextVar("later", default=False)

NEW = ".new"
"""Ending of a file that is being written; before it stands a name of the writer's own."""

SYNC_THREADS = 16
"""Files that are put on the disk at once.  A file system's journal takes all that wait in one go:
40 crops take 31 ms so, and 214 ms one after the other (ext4)."""


def make_folder(path: Path, mode: int = 0o777) -> None:
    """Make a folder that may be there, and those above it that are not."""
    missing = list(takewhile(lambda folder: not folder.exists(), (path, *path.parents)))
    path.mkdir(mode, parents=True, exist_ok=True)
    sync(folder.parent for folder in missing)


@contextlib.contextmanager
def synced_later() -> Iterator[None]:
    """Wait for no disk inside, where many are written one by one and synced before they are listed.

    Until then a power cut may leave them empty, half or not there: whoever reads them before
    compares a digest.
    """
    token = _LATER.set(True)
    try:
        yield
    finally:
        _LATER.reset(token)


def sync(paths: Iterable[Path], at_once: bool = False) -> None:
    """Return when files and folders are on the disk as they are; of a folder its names only.

    Args:
        paths: of them.
        at_once: within :func:`synced_later`, too.
    """
    if _LATER.get() and not at_once:
        return
    waiting = [path for path in paths if os.name == "posix" or path.is_file()]
    if len(waiting) < 2:
        list(map(_sync, waiting))
        return
    with ThreadPoolExecutor(min(SYNC_THREADS, len(waiting))) as pool:
        list(pool.map(_sync, waiting))


def _sync(path: Path) -> None:
    # Windows writes through a file that is open for writing only, and opens no folder.
    file = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(file)
    except OSError as error:
        # Of some network's file systems, which put a folder on the disk with each change of it.
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(file)


def put_in_place(renames: Mapping[Path, Path], lost_ok: bool = False) -> None:
    """Rename what is on the disk: files, and folders to where there is none.

    Args:
        renames: {path: new path}.
        lost_ok: leave out what is no longer there, as another process may rename it too.
    """
    for new, path in renames.items():
        with contextlib.suppress(*[FileNotFoundError] if lost_ok else []):
            os.replace(new, path)
    sync({path.parent for pair in renames.items() for path in pair})


def replace_files(contents: Mapping[Path, Iterable[bytes | memoryview]]) -> None:
    """Write files, each in parts: the new ones beside the old, then all renamed."""
    own = f".{uuid.uuid4().hex}{NEW}"
    new = {path.with_name(path.name + own): path for path in contents}
    try:
        for name, path in new.items():
            with name.open("wb") as file:
                file.writelines(contents[path])
        sync(new)
        put_in_place(new)
    finally:
        for left in new:
            left.unlink(missing_ok=True)


def half_written(folder: Path, name: str = "*") -> list[Path]:
    """New files of :func:`replace_files` that are being written, or were by a killed process.

    Args:
        folder: they are in.
        name: pattern of the files that they would become.
    """
    return list(folder.glob(f"{name}.{'[0-9a-f]' * 32}{NEW}"))


def append(path: Path, content: bytes) -> int:
    """Write to the end of a file; returns its size.  A kill may leave the first part of it."""
    with path.open("ab") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()
