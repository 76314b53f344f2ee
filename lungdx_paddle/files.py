"""Read regular files only; write files whole or not at all, from any number of processes."""

from __future__ import annotations

import contextlib
import errno
import glob
import gzip
import json
import math
import os
import shutil
import stat
import tempfile
import time
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lungdx_paddle.disk import half_written, make_folder, put_in_place, replace_files, sync
from lungdx_paddle.errors import OutputError

ABANDONED_S = 3600.0
"""A file that is being written grows; one that has not for an hour is of a killed process."""


LARGEST_BYTES = 2**30
"""Of a file that is read as a whole: more than any of ours has, and fits the memory."""

LARGEST_TEXT_BYTES = 2**24
"""Of a text that is read as a whole: a Table 2 of 100 000 rows, a metrics.json of 16 MB."""


class UnreadableError(ValueError):
    """A file that cannot be read, or is not of its kind; the text says why, without the path."""


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading; the caller closes it.

    A pipe would wait for ever for somebody to write, and a device such as ``/dev/zero`` has no
    end.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket or a device; ``strerror`` says which.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL, or a character that the file system cannot write
        raise OSError(errno.EINVAL, f"a path that no file can have ({error})") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, no file", os.fspath(path))
    return open(path, "rb")


def read_file(path: str | os.PathLike[str], at_most: int = LARGEST_BYTES) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: as :func:`open_file`, or it has more than ``at_most`` bytes.
    """
    with open_file(path) as file:
        too_large = os.fstat(file.fileno()).st_size > at_most
        content = b"" if too_large else file.read(at_most + 1)
    if too_large or len(content) > at_most:
        raise OSError(errno.EFBIG, f"more than {at_most} bytes", os.fspath(path))
    return content


def read_text(path: str | os.PathLike[str], at_most: int = LARGEST_TEXT_BYTES) -> str:
    """The text of a regular file in UTF-8, without a byte order mark, line ends as they are.

    Raises:
        UnreadableError: there is no such file, it is none that :func:`read_file` reads, or it is
            not UTF-8.
    """
    try:
        return read_file(path, at_most).decode("utf-8-sig")
    except OSError as error:
        raise UnreadableError(error.strerror or str(error)) from error
    except UnicodeDecodeError as error:
        raise UnreadableError("bytes that are not UTF-8") from error


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds; NaN, infinity and 1e400, which is read as such, are refused.

    Raises:
        UnreadableError: as :func:`read_text`, or it is no JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise UnreadableError("JSON that is nested too deep") from error
    except ValueError as error:
        raise UnreadableError(f"no JSON ({error})" if text else "an empty file") from error


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text} is no finite number")
    return float(text)


def gunzip(stream: BinaryIO, at_most: int = LARGEST_BYTES) -> bytes:
    """What a stream of gzip holds.

    Raises:
        OSError: it is damaged or no gzip, or unpacks to more than ``at_most`` bytes.
    """
    try:
        content = gzip.GzipFile(fileobj=stream).read(at_most + 1)
    except (EOFError, zlib.error) as error:
        raise OSError(errno.EINVAL, f"damaged or cut off gzip ({error})") from error
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"more than {at_most} bytes unpacked")
    return content


def writable_folder(path: Path) -> Path:
    """Make ``path`` if need be and see that a file can be written there.

    Raises:
        OutputError: it is a file, or a folder that cannot be made or written to.
    """
    with writing(path):
        make_folder(path)
        tempfile.TemporaryFile(dir=path).close()
    return path


def check_file(path: Path) -> None:
    """See that what is written to a path will not take the place of something else than a file.

    Raises:
        OutputError: it is a folder, a device or a pipe.
    """
    if path.exists() and not path.is_file():
        found = "a folder" if path.is_dir() else "a device or a pipe"
        raise OutputError(str(path), expected="the path of a file", found=found, fix="name a file")


def write_text(path: Path, text: str) -> None:
    """Write one UTF-8 file, line ends as they are.

    Raises:
        OutputError: it cannot be written; an earlier one is whole.
    """
    write_together({path: text.encode("utf-8")})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write files that belong together: the new ones beside the old, then all renamed.

    Each file is the old or the new one at any time, and of two processes that write the
    same the last one's stays.  A process killed between two renames, or another that writes
    at the same time, may leave files of different times: who needs them to fit stores a
    digest of the others in one of them.

    Raises:
        OutputError: one cannot be written, or is no file but a folder, a device or a pipe; the
            earlier ones are whole.
    """
    for path in contents:
        check_file(path)
    contents = {path.resolve(): content for path, content in contents.items()}
    with writing(next(iter(contents))):
        for path in contents:
            for left in half_written(path.parent, glob.escape(path.name)):
                # Of a killed process; another may remove it too, or put it in place.
                with contextlib.suppress(OSError):
                    if time.time() - left.stat().st_mtime > ABANDONED_S:
                        left.unlink()
        replace_files({path: [content] for path, content in contents.items()})


@contextlib.contextmanager
def new_folder(folder: Path, listed_in: Path | None = None) -> Iterator[Path]:
    """A folder beside ``folder``, which takes its place when all is written into it.

    Args:
        folder: what it will be; an earlier one is replaced as a whole.
        listed_in: a table of the earlier one's files, which goes before them.

    Raises:
        OutputError: in place of an OSError.
    """
    # A name of its own: the worker of a killed run may still be at work on the same folder.
    new = folder.with_name(f"{folder.name}~{uuid.uuid4().hex}")
    try:
        with writing(folder):
            for left in folder.parent.glob(f"{glob.escape(folder.name)}~*"):
                shutil.rmtree(left, ignore_errors=True)
            make_folder(new.parent)
            new.mkdir()
            yield new
            sync((new, *new.rglob("*")))
            if folder.exists():
                if listed_in is not None and listed_in.exists():
                    listed_in.unlink(missing_ok=True)
                    sync([listed_in.parent], at_once=True)
                shutil.rmtree(folder)
            put_in_place({new: folder})
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of writing into an :class:`OutputError` that names ``path``.

    Raises:
        OutputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(
            str(path),
            expected="a place that can be written to",
            found=error.strerror or str(error),
            fix="free some space or choose another folder; what was there before is whole",
        ) from error
