"""Find and read the pictures and masks of the public set of nodule slices.

The set (``zhangweiled/lidcidri`` on Kaggle) holds for each nodule
``LIDC-IDRI-0001/nodule-0/images/slice-0.png``, a piece of 128x128 pixels of every slice, and
``.../mask-0/slice-0.png`` to ``mask-3``, what each reader enclosed there; no ratings, no
UIDs, no positions.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import cv2
import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.sources import Skipped, SourceFile, list_files
from lungdx_paddle.preprocess.patches.slice_hu import PictureHU

PICTURE_SIDE = 128
"""Rows and columns of a picture, in pixels of the scan."""

LARGEST_PNG_BYTES = 2**20
"""A picture has 16 KB of pixels; what is larger is something else and may fill the memory."""

_PATH = re.compile(r"(?:^|/)([^/]+)/nodule-(\d+)/(images|mask-\d+)/slice-(\d+)\.(?:png|PNG)$")
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_HEADER = struct.Struct(">8s4x4sIIBB")
"""Signature, IHDR, width, height, bits and colour type (PNG specification, section 11.2)."""


@dataclass
class PictureFolder:
    """One nodule of a patient, as the set numbers them."""

    patient_id: str
    name: str
    """``LIDC-IDRI-0001/nodule-0``."""
    images: dict[int, SourceFile] = field(default_factory=dict)
    """By the set's number of the slice."""
    masks: dict[int, list[SourceFile]] = field(default_factory=dict)
    """By the set's number of the slice: the readers', in the order of their names."""
    hu: Mapping[int, PictureHU] = field(default_factory=dict)
    """By the set's number of the slice, where the picture's HU are known."""


def find_pictures(source: Path) -> tuple[list[PictureFolder], list[Skipped]]:
    """Find the set's folders below a folder or in a zip archive, which is not unpacked.

    Args:
        source: holds ``.../<patient>/nodule-<n>/...`` at any depth.

    Returns:
        The folders by patient and number, and the files that are no pictures of the set.

    Raises:
        LidcError: there is no such path, or it is a broken archive.
    """
    files, skipped = list_files(source)
    found: dict[tuple[str, int], PictureFolder] = {}
    seen: dict[tuple[str, ...], SourceFile] = {}
    for file in files:
        # PowerShell packed archives with backslashes for years.  The folder into which an
        # archive would be unpacked may be the patient's.
        path = PurePosixPath((file.member or file.path.as_posix()).replace("\\", "/"))
        match = _PATH.search(str(path if file.member is None else file.path.stem / path))
        if file.member is not None and (".." in path.parts or path.is_absolute()):
            skipped.append(Skipped(str(file), "its path climbs out of the archive"))
        elif match is None:
            skipped.append(Skipped(str(file), "no picture of the set of slices"))
        elif (first := seen.setdefault(match.groups(), file)) is not file:
            skipped.append(Skipped(str(file), f"one more file of a picture: {first}"))
        else:
            patient, number, kind, index = match[1], int(match[2]), match[3], int(match[4])
            name = f"{patient}/nodule-{number}"
            folder = found.setdefault((patient, number), PictureFolder(patient, name))
            if kind == "images":
                folder.images[index] = file
            else:
                folder.masks.setdefault(index, []).append(file)
    return [found[key] for key in sorted(found)], skipped


def read_picture(file: SourceFile) -> np.ndarray:
    """Read one picture or mask of the set.

    Returns:
        (128, 128) uint8.

    Raises:
        LidcError: it cannot be read, is cut off, or is no 8-bit gray PNG of that size.
    """
    data = file.read_bytes(LARGEST_PNG_BYTES)
    found = ""
    if len(data) < _HEADER.size or not data.startswith(_PNG_START):
        found = "no PNG" if data else "an empty file"
    else:
        _, chunk, columns, rows, bits, colour = _HEADER.unpack_from(data)
        if (chunk, rows, columns, bits, colour) != (b"IHDR", PICTURE_SIDE, PICTURE_SIDE, 8, 0):
            found = f"a PNG of {columns}x{rows} pixels, {bits} bits, colour type {colour}"
        elif not data.endswith(_PNG_END):
            found = "one that is cut off"
    if not found:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if picture is not None and picture.shape == (PICTURE_SIDE, PICTURE_SIDE):
            return np.asarray(picture, np.uint8)
        found = "a damaged one"
    raise LidcError(
        str(file),
        expected=f"an 8-bit gray PNG of {PICTURE_SIDE}x{PICTURE_SIDE} pixels",
        found=found,
        fix="download the set again",
    )
