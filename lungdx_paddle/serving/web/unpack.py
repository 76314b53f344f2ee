"""Unpack what was uploaded, and believe nothing that an archive says of itself."""

from __future__ import annotations

import errno
import gzip
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.sources import ENCRYPTED, GZIP, ZIP
from lungdx_paddle.serving.web.limits import Limits
from lungdx_paddle.serving.web.uploads import Sent, Upload, disk_full, too_many

DIRECTORY_BYTES = 2**23
"""Of a zip archive's list of members, which is read as a whole: 800 for each of 10 000."""

COPY_BYTES = 2**16
"""At a time."""

PICTURES = (b"\xff\xd8", b"\x89PNG")
"""First bytes of JPG and PNG files: crops."""

MARKUP = re.compile(rb"(\xef\xbb\xbf)?\s*<")
"""How XML begins."""


def unpack(upload: Upload, limits: Limits) -> Upload:
    """Unpack zip archives and gzip in place, and name each file by its number and kind.

    Sizes that an archive declares are not believed: bytes are counted as they come.

    Raises:
        LidcError: an archive is broken, encrypted or in another one, or beyond the limits.
        HTTPException: the disk is full (507).
    """
    unpacked = _Unpacked(upload.folder, limits, sum(s.path.stat().st_size for s in upload.files))
    try:
        for sent in upload.files:
            with open(sent.path, "rb") as stream:
                is_zip = stream.read(4).startswith(ZIP)
                stream.seek(0)
                if is_zip:
                    unpacked.add_members(stream)
                else:
                    unpacked.add(stream, sent.name)
            sent.path.unlink()
    except OSError as error:
        raise disk_full(error) from error
    return Upload(upload.folder, unpacked.files, upload.fields)


class _Unpacked:
    """Files that are being unpacked, and what is left of the limits."""

    def __init__(self, folder: Path, limits: Limits, packed_bytes: int) -> None:
        self.files: list[Sent] = []
        self._folder, self._limits = folder, limits
        self._most = min(limits.unpacked_bytes, limits.ratio * packed_bytes + limits.body_bytes)

    def add_members(self, stream: BinaryIO) -> None:
        """Unpack a zip archive."""
        try:
            with zipfile.ZipFile(cast(BinaryIO, _ShortReads(stream))) as archive:
                for entry in _to_read(archive):
                    with archive.open(entry) as member:
                        self.add(cast(BinaryIO, member), "")
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise _bad("a zip archive", f"a broken one ({error})", "pack it again") from error

    def add(self, stream: BinaryIO, name: str) -> None:
        """Copy one file, out of gzip if it is packed so."""
        head = stream.read(COPY_BYTES)
        if head.startswith(GZIP):
            packed = cast(BinaryIO, gzip.GzipFile(fileobj=cast(BinaryIO, _Rest(head, stream))))
            try:
                head, stream = packed.read(COPY_BYTES), packed
                self._copy(head, stream, name)
            except (gzip.BadGzipFile, zlib.error, EOFError) as error:
                raise _bad("a file in gzip", f"a broken one ({error})", "pack it again") from error
        else:
            self._copy(head, stream, name)

    def _copy(self, head: bytes, stream: BinaryIO, name: str) -> None:
        if head.startswith((GZIP, *ZIP)):
            raise _bad("DICOM files or pictures", "an archive in an archive", "unpack it")
        if len(self.files) >= self._limits.files:
            raise too_many(self._limits)
        kind = ".picture" if head.startswith(PICTURES) else ".dcm"
        kind = ".xml" if MARKUP.match(head) else kind
        path = self._folder / f"file-{len(self.files) + 1:05d}{kind}"
        if shutil.disk_usage(self._folder).free < self._limits.free_bytes:
            raise OSError(errno.ENOSPC, "no space left")
        with open(path, "xb") as file:
            while head:
                self._most -= len(head)
                if self._most < 0:
                    raise _bad(
                        f"up to {self._limits.unpacked_bytes >> 20} MiB when unpacked, and up to "
                        f"{self._limits.ratio} bytes of a packed one",
                        "more",
                        "send one CT",
                    )
                file.write(head)
                head = stream.read(COPY_BYTES)
        self.files.append(Sent(path, name))


def _to_read(archive: zipfile.ZipFile) -> Iterator[zipfile.ZipInfo]:
    """The files of an archive, those that macOS adds left out."""
    for entry in archive.infolist():
        name = entry.filename.replace("\\", "/")
        if name.endswith("/") or name.startswith("__MACOSX/") or "/._" in f"/{name}":
            continue
        if entry.flag_bits & ENCRYPTED:
            raise _bad("a zip archive", "an encrypted one", "send it without a password")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # bzip2 and LZMA give gigabytes for one read of kilobytes.
            found = f"method {entry.compress_type}"
            raise _bad("members packed by Deflate, as usual", found, "pack it again")
        yield entry


class _ShortReads:
    """A file of which no read is longer than a list of members may be."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read, self.seek, self.tell = stream.read, stream.seek, stream.tell
        self.seekable = stream.seekable

    def read(self, size: int = -1) -> bytes:
        if size > DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"a list of members of {size} bytes")
        return self._read(size)


class _Rest:
    """A stream whose first bytes were read already."""

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head, self._stream = head, stream

    def read(self, size: int = -1) -> bytes:
        if self._head:
            found, self._head = self._head[:size], self._head[size:]
            return found
        return self._stream.read(size)


def _bad(expected: str, found: str, fix: str) -> LidcError:
    return LidcError("the upload", expected=expected, found=found, fix=fix)
