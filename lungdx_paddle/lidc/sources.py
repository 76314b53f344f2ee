"""List and open files of a folder in any layout, or of a zip archive without unpacking it.

Nothing is written, so that an archive whose paths climb out of its folder does no harm.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from lungdx_paddle.errors import LidcError

OPEN_ARCHIVES = 4
"""Zip archives kept open in a process; one is normal, its directory is slow to read twice."""

FEW_FILES = 100
"""Fewer are read in about a second, without a progress bar."""

READ_ERRORS = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
"""What reading a file or a damaged, cut off or encrypted archive may raise."""


@dataclass(frozen=True)
class Skipped:
    """A file, folder or series that was left out, and why, for the user to read."""

    path: str
    reason: str


@dataclass(frozen=True)
class SourceFile:
    """A file on disk, or the member of a zip archive."""

    path: Path
    """The file itself, or the archive that holds it."""
    member: str | None = None
    """Name inside the archive; None for a file on disk."""

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}/{self.member}"

    @property
    def suffix(self) -> str:
        """The extension in lower case with its dot, or nothing."""
        return os.path.splitext(self.member or self.path.name)[1].lower()

    @property
    def size(self) -> int:
        """Length in bytes, unpacked."""
        if self.member is None:
            return self.path.stat().st_size
        return _archive(self.path).getinfo(self.member).file_size

    def open(self) -> BinaryIO:
        """A seekable stream of the file's bytes; the caller closes it."""
        if self.member is None:
            return open(self.path, "rb")
        return cast(BinaryIO, _archive(self.path).open(self.member))

    def read_bytes(self, at_most: int = -1) -> bytes:
        """The file's bytes, or the first ``at_most`` of them.

        Raises:
            LidcError: it cannot be read, or the archive is damaged or encrypted.
        """
        try:
            with self.open() as stream:
                return stream.read(at_most)
        except READ_ERRORS as error:
            raise LidcError(
                str(self),
                expected="a readable file",
                found=" ".join(str(error).split()),
                fix="download the file again or leave it out",
            ) from error


def list_files(source: Path) -> tuple[list[SourceFile], list[Skipped]]:
    """Every file below a folder or in a zip archive, in the order of the names.

    Args:
        source: a folder, a zip archive or a single file.

    Returns:
        The files, and the folders that could not be read.

    Raises:
        LidcError: there is no such path, or it is a broken archive.
    """
    source = Path(source)
    if source.is_dir():
        return _list_folder(source)
    if not source.is_file():
        raise LidcError(
            str(source),
            expected="a folder, a zip archive or a file",
            found="nothing",
            fix="check the path",
        )
    if not zipfile.is_zipfile(source) and source.suffix.lower() != ".zip":
        return [SourceFile(source)], []
    names = sorted(entry.filename for entry in _archive(source).infolist() if not entry.is_dir())
    return [SourceFile(source, name) for name in names], []


def _list_folder(folder: Path) -> tuple[list[SourceFile], list[Skipped]]:
    files: list[SourceFile] = []
    skipped: list[Skipped] = []

    def note(error: OSError) -> None:
        skipped.append(Skipped(str(error.filename), f"cannot be read: {error.strerror}"))

    seen: set[str] = set()  # large collections are often linked together; a link may form a ring
    for root, folders, names in os.walk(folder, onerror=note, followlinks=True):
        real = os.path.realpath(root)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        files.extend(SourceFile(Path(root, name)) for name in sorted(names))
    return files, skipped


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        entry = path.stat()
        return _opened(path, entry.st_mtime_ns, entry.st_size)
    except (zipfile.BadZipFile, OSError) as error:
        raise LidcError(
            str(path),
            expected="a zip archive",
            found=f"a broken one ({error})",
            fix="download it again",
        ) from error


@lru_cache(maxsize=OPEN_ARCHIVES)
def _opened(path: Path, mtime_ns: int, size: int) -> zipfile.ZipFile:
    """The archive as it was at that time: packed anew, it is opened anew."""
    return zipfile.ZipFile(path)
