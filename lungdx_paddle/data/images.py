"""Decode crop files to 8-bit arrays, and refuse damaged ones.

libjpeg fills what a damaged JPG lacks, and OpenCV returns a picture all the same.  Two signs of
damage are looked for.  libjpeg complains, on file descriptor 2 and nowhere else, where the data
end too early, stand for nothing or are left over by more than some bytes.  And a whole JPG needs
its last byte: without it libjpeg complains, too, unless data were left over.

A JPG has no checksum.  What cannot be noticed is damage after which as many blocks come out of as
many bytes, and other quantisation tables.  Of real crops that were zeroed from some place on, 1 in
600 is still taken with pixels off by more than 8 gray levels; of those with 8 or 16 bytes
overwritten 1 in 5, with one byte overwritten or up to 20 cut out 2 in 5.  A PNG has checksums.
"""

from __future__ import annotations

import os
import re
import struct
import tempfile
import threading
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.files import read_file
from lungdx_paddle.manifest import CROP_SIZE, Manifest

LARGEST_CROP_BYTES = 2**16
"""Of a file: a crop of ours has up to 1.2 KB, one with a camera's notes and a thumbnail 50 KB."""

TOGETHER = 1024
"""Crops whose complaints are listened for at once; few enough for the memory at their largest."""

_JPG, _JPG_END = b"\xff\xd8", b"\xff\xd9"
_JPG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of a frame header, of any kind of JPG."""
_PNG, _PNG_HEADER = b"\x89PNG\r\n\x1a\n", struct.Struct(">8sI4sIIBB")
_PNG_GRAY = 0
_COMPLAINT = re.compile(rb"Corrupt JPEG|Premature end")
"""What libjpeg writes of damage; of harmless oddities it writes other things."""
_DECODERS = re.compile(rb"JPE?G|JFIF|progression|PNG|OpenCV|^\[ *(WARN|ERROR|INFO)", re.IGNORECASE)
"""In lines that libjpeg, libpng or OpenCV write."""
_ALONE = threading.Lock()
"""Held while file descriptor 2, which the whole process shares, is another file."""


def read_images(manifest: Manifest) -> np.ndarray:
    """Decode every crop of a manifest: (rows, 32, 32) uint8.

    Raises:
        ManifestError: as :func:`read_crop`; the message names the file.
    """
    return read_crops(manifest.image_paths())


def read_crop(path: str | Path) -> np.ndarray:
    """Decode one crop: (32, 32) uint8.

    Raises:
        ManifestError: the file is missing, no regular file, no JPG or PNG, of another size, in
            colour, or damaged in a way that can be noticed (see above).
    """
    return np.asarray(read_crops([path])[0])


def read_crops(paths: Sequence[str | Path]) -> np.ndarray:
    """Decode crops: (n, 32, 32) uint8.

    Raises:
        ManifestError: as :func:`read_crop`, of the first bad one.
    """
    images = np.empty((len(paths), CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    for start in range(0, len(paths), TOGETHER):
        part = paths[start : start + TOGETHER]
        contents = [_checked_content(path) for path in part]
        pictures, damage = _decode(contents)
        if damage:  # of one at least: ask one by one
            for path, content in zip(part, contents):
                _, damage = _decode([content])
                if damage:
                    raise _error(path, damage)
        images[start : start + TOGETHER] = pictures
    return images


def _checked_content(path: str | Path) -> bytes:
    """The bytes of a picture whose header says that it is a crop; nothing is decoded."""
    try:
        content = read_file(path, LARGEST_CROP_BYTES)
    except OSError as error:
        raise _error(path, error.strerror or "an unreadable file") from error
    form = _form(content)
    if form is None:
        no_picture = "a file that is no JPG or PNG" if content else "an empty file"
        raise _error(path, "a damaged JPG" if content.startswith(_JPG) else no_picture)
    columns, rows, bits, is_gray = form
    if content.startswith(_JPG) and _JPG_END not in content[-16:]:
        raise _error(path, "a JPG that breaks off")
    if (rows, columns) != (CROP_SIZE, CROP_SIZE):
        raise _error(path, f"{columns}x{rows} pixels")
    if not is_gray:
        raise _error(path, "a colour picture")
    if bits > 8:
        raise _error(path, f"{bits}-bit values")
    if content.startswith(_PNG) and not _is_whole_png(content):
        raise _error(path, "a damaged PNG")
    return content


def _form(content: bytes) -> tuple[int, int, int, bool] | None:
    """(columns, rows, bits, is gray) as the header of a JPG or PNG says; None for other files."""
    if content.startswith(_PNG) and len(content) >= _PNG_HEADER.size:
        _, _, chunk, columns, rows, bits, colour = _PNG_HEADER.unpack_from(content)
        return (columns, rows, bits, colour == _PNG_GRAY) if chunk == b"IHDR" else None
    at = 2 if content.startswith(_JPG) else len(content)
    while at + 10 <= len(content) and content[at] == 0xFF:
        marker = content[at + 1]
        if marker in _JPG_FRAMES:
            bits, rows, columns, components = struct.unpack_from(">BHHB", content, at + 4)
            return columns, rows, bits, components == 1
        # A marker may be preceded by any number of FF; else a segment says its length.
        at += 1 if marker == 0xFF else 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return None


def _is_whole_png(content: bytes) -> bool:
    """Whether the chunks follow one another up to the last, each with its checksum.

    OpenCV 5 takes seconds, and gigabytes, for a chunk that says it is longer than the file.
    """
    at, chunk = len(_PNG), b""
    while at + 12 <= len(content) and not chunk.startswith(b"IEND"):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        chunk = content[at + 4 : end - 4]
        if zlib.crc32(chunk) != int.from_bytes(content[end - 4 : end], "big"):
            return False
        at = end
    return chunk.startswith(b"IEND")


def _decode(contents: Sequence[bytes]) -> tuple[list[np.ndarray], str]:
    """The whole pictures, and what is wrong with one of the others; nothing if all are whole."""
    pictures, complaints = _decode_and_listen(contents)
    whole = [p for p in pictures if p is not None and p.shape == (CROP_SIZE, CROP_SIZE)]
    jpgs = [content for content in contents if content.startswith(_JPG)]
    damage = f"a damaged {'JPG' if jpgs else 'PNG'}"
    if len(whole) < len(pictures) or _COMPLAINT.search(complaints):
        return whole, damage
    if jpgs and _complaints_without_last_byte(jpgs) < len(jpgs) and _is_heard():
        return whole, damage
    return whole, ""


def _complaints_without_last_byte(jpgs: Sequence[bytes]) -> int:
    """Of how many JPGs libjpeg complains when the last byte of their data is taken away."""
    shortened = []
    for content in jpgs:
        data = content[: content.rindex(_JPG_END)]
        # A byte FF of the data is written as FF 00.
        shortened.append(data[: -2 if data.endswith(b"\xff\x00") else -1] + _JPG_END)
    return len(_COMPLAINT.findall(_decode_and_listen(shortened)[1]))


@cache
def _is_heard() -> bool:
    """Whether this OpenCV's libjpeg complains where we listen, of a JPG that surely breaks off."""
    _, jpg = cv2.imencode(".jpg", np.zeros((CROP_SIZE, CROP_SIZE), np.uint8))
    return _complaints_without_last_byte([jpg.tobytes()]) == 1


def _decode_and_listen(contents: Sequence[bytes]) -> tuple[list[np.ndarray | None], bytes]:
    """Each picture, None where there is none, and what was written to file descriptor 2.

    What others wrote there meanwhile is passed on.
    """
    with _ALONE, _file_in_memory() as heard:
        try:
            screen = os.dup(2)
        except OSError:  # closed by whoever started us
            screen = os.open(os.devnull, os.O_WRONLY)
        os.dup2(heard.fileno(), 2)
        try:
            pictures = [_imdecode(content) for content in contents]
        finally:
            os.dup2(screen, 2)
            os.close(screen)
        heard.seek(0)
        complaints = heard.read()
    others = [line for line in complaints.splitlines(keepends=True) if not _DECODERS.search(line)]
    if others:
        os.write(2, b"".join(others))
    return pictures, complaints


def _file_in_memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):  # also where no disk can be written
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    return tempfile.TemporaryFile()


def _imdecode(content: bytes) -> np.ndarray | None:
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None


def _error(path: str | Path, found: str) -> ManifestError:
    return ManifestError(
        str(path),
        expected=f"a {CROP_SIZE}x{CROP_SIZE} grayscale JPG",
        found=found,
        fix="run tools/preprocess.py again or leave its row out",
    )
