"""Files are written whole or not at all; what cannot be written is the user's to mend."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from lungdx_paddle.errors import OutputError

_NEW = ".new"
"""Ending of a file that is written and not yet in its place."""


def writable_folder(path: Path) -> Path:
    """Make ``path`` if need be and see that a file can be written there.

    Raises:
        OutputError: it is a file, or a folder that cannot be made or written to.
    """
    probe = path / f".writable-{os.getpid()}"
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    return path


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 file, line ends as they are.

    Raises:
        OutputError: it cannot be written; an earlier one is whole.
    """
    write_together({path: text.encode("utf-8")})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files as one: the new ones beside the old, then all renamed.

    A process killed between two renames leaves the rest to :func:`finish_writing`.

    Raises:
        OutputError: one cannot be written; the earlier ones are whole.
    """
    with writing(next(iter(contents))):
        for path, content in contents.items():
            _new(path).write_bytes(content)
        for path in contents:
            os.replace(_new(path), path)


def write_beside_others(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write one file that several processes may write at once: the last one whole stays.

    Raises:
        OutputError: it cannot be written; an earlier one is whole.
    """
    own = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_NEW}")
    with writing(path):
        try:
            with own.open("xb") as file:
                file.writelines(parts)
            os.replace(own, path)
        finally:
            own.unlink(missing_ok=True)


def finish_writing(paths: Sequence[Path]) -> None:
    """Complete what a killed :func:`write_together` of ``paths`` left half renamed.

    The first is renamed first: if it still waits, the others may not be whole, and all
    the earlier ones are.
    """
    if _new(paths[0]).exists():
        return
    for path in paths:
        if _new(path).exists():
            os.replace(_new(path), path)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into an :class:`OutputError` that names ``path``."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            str(path),
            expected="a place that can be written to",
            found=error.strerror or str(error),
            fix="free some space or choose another folder; what was there before is whole",
        ) from error


def _new(path: Path) -> Path:
    return path.with_name(path.name + _NEW)
