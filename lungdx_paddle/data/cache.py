"""Decoded crops in one file beside their manifest: what a training reads at its next start.

The file is ``manifest.csv.cache``: a line that says what it is, a seal, and the pixels.  The
seal is a digest of the pixels and of each crop's name, size and times of change, so that a
file which is damaged, or older than a crop, does not fit and is made anew.  The rows are not
in it: the manifest itself is read at every start.  Whatever the file holds, it is pixels or
nothing.

Of the two times, a program may set a content's to what it likes, as unpacking and copying do.
That of the file's entry is the system's own, so a copied collection makes its cache anew, and
no crop is taken for the one that had its name, size and time.  (On Windows it is the time of
creation, which tells less.)
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.files import write_beside_others
from lungdx_paddle.manifest import CROP_SIZE, Manifest

_FORMAT = b"lungdx crops 1\n\0"
"""Another layout needs another number."""

_KEY_BYTES = 32
_HEAD_BYTES = len(_FORMAT) + _KEY_BYTES

_UNSETTLED_NS = 2_000_000_000
"""One tick of the coarsest clock of a file system (FAT's is 2 s): a crop that is younger may
change once more and still have the same time."""


def cache_file(manifest: Path) -> Path:
    """Where the crops of a manifest file are kept."""
    return manifest.with_name(f"{manifest.name}.cache")


def crops_key(manifest: Manifest) -> bytes | None:
    """Digest of the crops' names, sizes and times of change, 32 bytes.

    None where they could change and it would not: one is missing, or not two seconds old.
    """
    # Another version of OpenCV may decode a JPG to other gray values.
    key = hashlib.blake2b(f"{CROP_SIZE} {cv2.__version__}\n".encode(), digest_size=_KEY_BYTES)
    now = time.time_ns()
    for name, path in zip(manifest.rows.column("image"), manifest.image_paths()):
        try:
            status = os.stat(path)
        except OSError:
            return None
        times = status.st_mtime_ns, status.st_ctime_ns
        if min(abs(now - time_ns) for time_ns in times) < _UNSETTLED_NS:
            return None
        key.update(f"{name}\0{status.st_size} {times}\n".encode())
    return key.digest()


def load_crops(path: Path, key: bytes, crops: int) -> np.ndarray | None:
    """The pixels that were stored under ``key``: (crops, 32, 32) uint8, or None."""
    try:
        # Before it is opened: a pipe, say, would never end.
        if path.stat().st_size != _HEAD_BYTES + crops * CROP_SIZE**2:
            return None
        content = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    head, pixels = content[:_HEAD_BYTES], content[_HEAD_BYTES:]
    if head.tobytes() != _FORMAT + _seal(key, pixels):
        return None
    return pixels.reshape(crops, CROP_SIZE, CROP_SIZE)


def store_crops(path: Path, key: bytes, images: np.ndarray) -> None:
    """Keep the pixels of the crops that ``key`` was made of.

    Raises:
        OutputError: the file cannot be written; an earlier one is whole.
    """
    write_beside_others(path, [_FORMAT, _seal(key, images), images.data])


def _seal(key: bytes, pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(pixels.data, key=key, digest_size=_KEY_BYTES).digest()
