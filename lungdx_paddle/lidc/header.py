"""The header of a DICOM file, parsed by pydicom within limits of time and memory."""

from __future__ import annotations

import io
import logging
import threading
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import BinaryIO, cast

import pydicom
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from lungdx_paddle.lidc.attributes import TAG, NotASlice

PREAMBLE_BYTES = 128
"""Length of what stands before ``DICM`` (PS3.10, 7.1)."""

OTHER_KINDS = {b"PK\x03\x04": "a zip archive or a workbook", b"<?xml": "XML"}
"""First bytes of a file whose name may say something else -> what it is."""

HEADER_BYTES = 2**25
"""Of a header, 32 MiB: a slice's has some 10 KiB, and a frame's adds 2."""

BYTES_A_READ = 128
"""What each call of ``read`` counts beside its bytes: a header of a million empty elements is
small in the file and large in memory."""

ITEM = b"\xfe\xff\x00\xe0"
"""What each item of a sequence begins with (little endian, as enhanced files are)."""

MOST_ITEMS = 2**16
"""Items of all sequences of a header, about 2 s of work: 3000 frames of 20; makers write fewer."""

INFLATED_BYTES = 2**27
"""Of a deflated file, 128 MiB or 256 slices of 512 x 512; deflating may hide a thousandfold."""

_tag = lru_cache(Tag)
"""The tag of a keyword, which pydicom would look up for each file."""

PORTION = 2**20
"""Bytes that are inflated at a time."""


class _Deflated(Exception):
    """What follows is deflated."""


class _HeaderStream:
    """A file as pydicom reads it, which ends where no header is that long."""

    def __init__(self, stream: BinaryIO, at_most: int) -> None:
        self._read, self.seek, self.tell = stream.read, stream.seek, stream.tell
        self._at_most = at_most
        self._bytes = self._items = 0
        self.beyond = ""
        """The limit at which it was ended; pydicom would swallow an error."""

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # pydicom takes all there is of a deflated file, and of no other
            raise _Deflated
        self._bytes += size + BYTES_A_READ
        if self._bytes > self._at_most:
            self.beyond = f"a header of more than {self._at_most >> 20} MiB"
            return b""
        found = self._read(size)
        if found[:4] == ITEM:
            self._items += found.count(ITEM)  # several where a sequence is read as a whole
            if self._items > MOST_ITEMS:
                self.beyond = f"a header with sequences of more than {MOST_ITEMS} items"
                return b""
        return found


class _Quiet:
    """The process's settings while any of its threads reads."""

    lock = threading.Lock()
    readers = 0
    settings = ExitStack()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning and logging for every odd value of every slice.

    What is changed is the whole process's: of several threads the first changes it, and the last
    restores it.
    """
    with _Quiet.lock:
        if not _Quiet.readers:
            for log in map(logging.getLogger, ("pydicom", "highdicom")):
                _Quiet.settings.callback(setattr, log, "propagate", log.propagate)
                log.propagate = False
            _Quiet.settings.enter_context(disable_value_validation())
            _Quiet.settings.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
        _Quiet.readers += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.readers -= 1
            if not _Quiet.readers:
                _Quiet.settings.close()


def parse_header(
    stream: BinaryIO, names: Iterable[str] | None = tuple(TAG), at_most: int = 0
) -> tuple[Dataset, UID, BinaryIO | io.BytesIO]:
    """Parse some attributes of a file, up to the pixels, or with them if they are named.

    Args:
        stream: the file, at its beginning.
        names: keywords of the attributes, usually those of a slice; None: all.
        at_most: bytes that may be read for it; 0: :data:`HEADER_BYTES`.

    Returns:
        The header; the transfer syntax, as the file says, or as it seems to be where the file
        does not say; and a stream that stands before the pixels: another one than the given
        where that is deflated, without preamble and file meta information.

    Raises:
        NotASlice: it is no DICOM file, or beyond all limits.
        Exception: nearly any, of a damaged file.
    """
    start = stream.read(PREAMBLE_BYTES + 4)
    stream.seek(0)
    has_preamble = start[PREAMBLE_BYTES:] == b"DICM"
    # Old files begin with the data set itself: group 0002 or 0008, little endian.
    if not has_preamble and start[:2] not in (b"\x02\x00", b"\x08\x00"):
        other = [f" but {what}" for begin, what in OTHER_KINDS.items() if start.startswith(begin)]
        raise NotASlice("no DICOM file" + "".join(other) if start else "an empty file")
    wanted, at_most = None if names is None else list(names), at_most or HEADER_BYTES
    try:
        header = _dcmread(stream, wanted, at_most)
    except _Deflated:
        stream = io.BytesIO(_inflate(stream))
        return _dcmread(stream, wanted, at_most), DeflatedExplicitVRLittleEndian, stream
    is_implicit, _ = header.original_encoding
    usual = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    return header, UID(header.file_meta.get("TransferSyntaxUID") or usual), stream


def _dcmread(stream: BinaryIO, names: list[str] | None, at_most: int) -> Dataset:
    limited = _HeaderStream(stream, at_most)
    try:
        return pydicom.dcmread(
            cast(BinaryIO, limited),
            stop_before_pixels="PixelData" not in (names or ()),
            specific_tags=names and [_tag(name) for name in names],
            force=True,
        )
    finally:
        if limited.beyond:
            raise NotASlice(limited.beyond)


def _inflate(stream: BinaryIO) -> bytes:
    """All that is left of a stream; cut off, it is what could be inflated."""
    inflater, parts, left = zlib.decompressobj(-zlib.MAX_WBITS), [], INFLATED_BYTES
    deflated = stream.read(PORTION)
    while deflated and not inflater.eof:
        parts.append(inflater.decompress(deflated, PORTION))
        left -= len(parts[-1])
        if left < 0:
            raise NotASlice(f"deflated, and more than {INFLATED_BYTES >> 20} MiB when inflated")
        deflated = inflater.unconsumed_tail or stream.read(PORTION)
    return b"".join(parts)
