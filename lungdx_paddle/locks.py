"""Keep other processes out of a folder for as long as this one writes there."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from lungdx_paddle.disk import half_written
from lungdx_paddle.errors import OutputError
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.progress import log

LOCK = ".lungdx.lock"
"""The file that is locked; it names the process that holds it, and goes when that ends well."""

LOOK_S = 0.2
"""Seconds between two looks at a folder that is waited for."""

_TAKEN = {errno.EAGAIN, errno.EACCES, errno.EDEADLK}
"""Errors of a lock that another process holds; with any other the file system has no locks."""

_held: set[Path] = set()
"""The locks of this process, which may enter its own folders again."""


@contextlib.contextmanager
def alone_in(folder: Path, wait: bool = False) -> Iterator[bool]:
    """Be the only process of ours that writes into a folder, which is made if need be.

    The lock is the operating system's: it ends with the process, also one that is killed, and
    holds between machines as far as their file system's locks do.  Where there are none, the
    log says so and the work goes on.  Who only reads needs no lock.  Files that a killed holder
    was writing are removed.

    Args:
        folder: to be written into.
        wait: wait for another process to leave the folder; or refuse.

    Yields:
        Whether another process was waited for.

    Raises:
        OutputError: the folder cannot be written to, or another process writes there.
    """
    path = writable_folder(folder).resolve() / LOCK
    if path in _held:
        yield False
        return
    waited = False
    while True:
        with writing(path):
            file = _locked(path)
        if file is not None:
            break
        if not wait:
            raise OutputError(
                str(folder),
                expected="a folder that no other process writes into",
                found=_holder(path),
                fix="wait for it to end, or choose another folder",
            )
        if not waited:
            log.info("Waiting for %s, which writes into %s", _holder(path), folder)
        waited = True
        time.sleep(LOOK_S)
    _held.add(path)
    try:
        yield waited
    finally:
        _held.discard(path)
        with contextlib.suppress(OSError):  # Windows removes no open file; the folder may be gone
            path.unlink()
        os.close(file)


def _locked(path: Path) -> int | None:
    """Open and lock a file; returns its descriptor, or None if another process has the lock."""
    # A link is not followed, or its target would be written over.
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _TAKEN:
            os.close(file)
            return None
        text = "%s: no locks here (%s): see to it that no other process writes into this folder"
        log.warning(text, path.parent, error.strerror)
        return file
    try:
        same = os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        same = False
    if not same:  # its holder has removed it since it was opened
        os.close(file)
        return _locked(path)
    if os.fstat(file).st_size:  # its holder was killed, and nobody else writes here
        for left in half_written(path.parent):
            with contextlib.suppress(OSError):
                left.unlink()
    with contextlib.suppress(OSError):  # on a full disk it stays empty
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {platform.node()}".encode())
    return file


def _lock(file: int) -> None:
    """Lock an open file without waiting; an OSError if that cannot be."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 2**30, os.SEEK_SET)  # behind its text, which others may read
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        os.lseek(file, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _holder(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")[:200]
    except OSError:
        text = ""
    return text or "another process"
