"""List and open files of a folder in any layout, or of zip archives without unpacking them.

A folder may hold archives beside files: they are listed as if they were unpacked.  Nothing is
written, so that an archive whose paths climb out of its folder does no harm.
"""

from __future__ import annotations

import errno
import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, cast

from lungdx_paddle.errors import LidcError
from lungdx_paddle.files import LARGEST_BYTES, gunzip, open_file
from lungdx_paddle.locks import LOCK
from lungdx_paddle.words import printable

OPEN_ARCHIVES = 4
"""Zip archives kept open in a process; one is normal, its directory is slow to read twice."""

FEW_FILES = 100
"""Fewer are read in about a second, without a progress bar."""

READ_ERRORS = (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error)
"""What reading a file or a damaged, cut off or encrypted archive may raise."""

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
"""How a member may be packed; Windows packs what has more than 2 GB otherwise (Deflate64)."""

ENCRYPTED = 1
"""Bit of a member's flags (zip specification, 4.4.4)."""

UNPACK = "; unpack it"
"""How the reason ends for which an archive was left out, and with it all of its files."""

PACKED = (".tar", ".tgz", ".tbz2", ".txz", ".7z", ".rar", ".bz2", ".xz", ".zst")
"""Endings of archives and packed files that are not read; .zip and .gz are."""

FIRST_BYTES = 1024
"""Of a file whose name does not say what it is: as many hold the outermost element of XML."""

GZIP, ZIP = b"\x1f\x8b\x08", (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
"""First bytes of gzip (deflated), and of zip archives: usual, empty and in parts."""

NAMED = (".dcm", ".gz", ".xml", ".xlsx", ".xlsm", ".xlsb", ".docx", ".ods", ".numbers")
"""Endings of files that are not looked into for a zip archive: a collection has 245 000 .dcm."""

DOCUMENT = {"[Content_Types].xml", "mimetype"}
"""One of these lies in a zip archive that is a document of Microsoft's or LibreOffice."""

BY_PRODUCTS = ("thumbs.db", "desktop.ini", ".ds_store", "dicomdir", LOCK)
"""Files that hold no data of their own, in lower case; DICOMDIR lists what lies beside it."""

BY_PRODUCT_FOLDERS = {
    *("__macosx", ".trashes", ".spotlight-v100", ".fseventsd", "@eadir"),
    *("$recycle.bin", "system volume information"),
}
"""Folders that macOS, Windows and network drives make, in lower case."""


@dataclass(frozen=True)
class Skipped:
    """A file, folder or series that was left out, and why, for the user to read."""

    path: str
    reason: str


@dataclass(frozen=True)
class SourceFile:
    """A file on disk, or the member of a zip archive; one in gzip, whatever its name, unpacked."""

    path: Path
    """The file itself, or the archive that holds it."""
    member: str | None = None
    """Name inside the archive; None for a file on disk."""

    def __str__(self) -> str:
        return printable(str(self.path) if self.member is None else f"{self.path}/{self.member}")

    @property
    def name(self) -> str:
        """Without its folders, whichever system named them."""
        return (self.member or self.path.name).replace("\\", "/").rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The extension in lower case with its dot, before ``.gz``, or nothing."""
        return os.path.splitext(self.name.lower().removesuffix(".gz"))[1]

    def size_of(self, stream: BinaryIO) -> int:
        """Length in bytes, unpacked, by a stream of :meth:`open`, which is not read for it."""
        if isinstance(stream, io.BytesIO):
            return len(stream.getbuffer())
        if self.member is None:
            return os.fstat(stream.fileno()).st_size
        return _archive(self.path).getinfo(self.member).file_size

    @property
    def start(self) -> bytes:
        """The first :data:`FIRST_BYTES`, unpacked; nothing of a file that cannot be read."""
        try:
            with self._stored() as stream:
                packed = gzip.GzipFile(fileobj=stream) if _in_gzip(stream) else stream
                return packed.read(FIRST_BYTES)
        except (*READ_ERRORS, LidcError):
            return b""

    @property
    def is_dicom(self) -> bool:
        """Whether the file begins as DICOM does, with its preamble or without."""
        return self.start[128:132] == b"DICM" or self.start[:2] in (b"\x02\x00", b"\x08\x00")

    def open(self, at_most: int = LARGEST_BYTES) -> BinaryIO:
        """A seekable stream of the file's bytes, unpacked; the caller closes it.

        Raises:
            OSError: it is no regular file, or one in gzip that unpacks to more than ``at_most``.
        """
        stream = self._stored()
        if not _in_gzip(stream):
            return stream
        with stream:
            return io.BytesIO(gunzip(stream, at_most))

    def _stored(self) -> BinaryIO:
        if self.member is None:
            return open_file(self.path)
        return cast(BinaryIO, _archive(self.path).open(self.member))

    def read_bytes(self, at_most: int = -1) -> bytes:
        """The file's bytes, or the first ``at_most`` of them; of one in gzip, all or none.

        Raises:
            LidcError: it cannot be read, or the archive is damaged or encrypted.
        """
        try:
            with self.open(at_most if at_most >= 0 else LARGEST_BYTES) as stream:
                return stream.read(at_most)
        except READ_ERRORS as error:
            raise LidcError(
                str(self),
                expected="a readable file",
                found=" ".join(str(getattr(error, "strerror", None) or error).split()),
                fix="download the file again or leave it out",
            ) from error


def list_files(source: Path) -> tuple[list[SourceFile], list[Skipped]]:
    """Every file below a folder or in a zip archive, in the order of the names.

    Zip archives in a folder, whatever their names, are listed as if they were unpacked; so not
    by-products of operating systems (``._*``, ``~$*``, :data:`BY_PRODUCTS`).

    Args:
        source: a folder, a zip archive or a single file.

    Returns:
        The files; and with the reason what is left out: folders that cannot be read, archives
        in archives or of another kind, and what is no regular file.

    Raises:
        LidcError: there is no such path, or it is a broken archive or one that is not read.
    """
    source = Path(source)
    files: list[SourceFile] = []
    skipped: list[Skipped] = []
    if source.is_dir():
        for path in _walk(source, skipped):
            file = SourceFile(path)
            try:
                if path.suffix.lower() not in NAMED and _is_archive(file):
                    files += _members(path, skipped)
                elif reason := _not_read(file):
                    skipped.append(Skipped(str(file), reason))
                else:
                    files.append(file)
            except LidcError as error:
                skipped.append(Skipped(str(file), str(error).removeprefix(f"{file}: ")))
        return files, skipped
    found = "a pipe, a socket or a device" if source.exists() else "nothing"
    if source.is_file():
        found = _not_read(SourceFile(source)).removesuffix(UNPACK)
    if found:
        raise LidcError(
            str(source),
            expected="a folder, a zip archive or a file",
            found=found,
            fix="unpack it and give the folder" if source.is_file() else "check the path",
        )
    if _is_archive(SourceFile(source)):
        return _members(source, skipped), skipped
    return [SourceFile(source)], []


def _walk(source: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Regular files below a folder: those of a folder by name, then those of the folders in it."""
    seen: set[str] = set()  # large collections are often linked together; a link may form a ring
    folders = [os.fspath(source)]
    while folders:
        folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        below: list[str] = []
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            skipped.append(Skipped(printable(folder), f"cannot be read: {error.strerror}"))
            continue
        for entry in entries:
            try:
                if entry.is_dir():
                    below += [] if entry.name.lower() in BY_PRODUCT_FOLDERS else [entry.path]
                elif not _is_by_product(entry.name):
                    if entry.is_file():
                        yield Path(entry.path)
                    else:
                        os.stat(entry.path)  # a link may lead to nothing
                        raise OSError(errno.EINVAL, "a pipe, a socket or a device, no file")
            except OSError as error:
                skipped.append(Skipped(printable(entry.path), f"cannot be read: {error.strerror}"))
        folders += reversed(below)


def _members(path: Path, skipped: list[Skipped]) -> list[SourceFile]:
    """What is to be read of a zip archive."""
    files = []
    entries = {entry.filename: entry for entry in _archive(path).infolist()}
    for name in sorted(entries):
        parts = name.replace("\\", "/").lower().split("/")
        file, entry = SourceFile(path, name), entries[name]
        if not parts[-1] or _is_by_product(parts[-1]) or BY_PRODUCT_FOLDERS.intersection(parts):
            continue  # PowerShell ended the names of folders in a backslash
        reason = _not_read(file)
        if entry.flag_bits & ENCRYPTED:
            reason = f"encrypted{UNPACK}"
        elif entry.compress_type not in METHODS:
            reason = f"packed by a method that is not read ({entry.compress_type}){UNPACK}"
        if reason:
            skipped.append(Skipped(str(file), reason))
        else:
            files.append(file)
    return files


def _not_read(file: SourceFile) -> str:
    """Why a file is not even opened, or nothing."""
    if file.suffix == ".nii":
        return "a NIfTI volume, no DICOM file"
    if file.member is not None and file.suffix in (".zip", *PACKED):
        return f"an archive in an archive{UNPACK}"
    return f"an archive of another kind than zip{UNPACK}" if file.suffix in PACKED else ""


def _in_gzip(stream: BinaryIO) -> bool:
    return cast(io.BufferedReader, stream).peek(len(GZIP)).startswith(GZIP)


def _is_archive(file: SourceFile) -> bool:
    """Whether a file on disk is a zip archive, and no document, by its content."""
    is_named = file.suffix == ".zip"
    if not file.start.startswith(ZIP):
        return is_named and not file.is_dicom
    return is_named or DOCUMENT.isdisjoint(_archive(file.path).namelist())


def _is_by_product(name: str) -> bool:
    return name.startswith(("._", "~$")) or name.lower() in BY_PRODUCTS


def _archive(path: Path) -> zipfile.ZipFile:
    try:
        entry = path.stat()
        return _opened(path, entry.st_mtime_ns, entry.st_size)
    except (*READ_ERRORS, struct.error) as error:
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
