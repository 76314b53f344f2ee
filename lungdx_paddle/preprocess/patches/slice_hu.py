"""HU of the pictures of the public set, each of which was stretched on its own.

``slice_hu.csv.gz`` holds the HU that were made black and white in each picture.
docs/explanation/lidc.md has how they were found, and how exact they are.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from lungdx_paddle.manifest_cells import STRETCHED

_TABLE = Path(__file__).with_name("slice_hu.csv.gz")

MOST_HOPS = 3
"""A picture of which no real pixels are known has its HU from the next one, and that from its next:
errors add up.  Nine in ten pictures of the set are within three."""

UNKNOWN, FAR, NOT_STRETCHED = (
    "its HU are not known",
    f"its HU come from more than {MOST_HOPS} slices away",
    "it does not reach from black to white like the picture whose HU are known",
)
"""Why a picture has no HU."""


@dataclass(frozen=True)
class PictureHU:
    """What the gray values of one picture mean."""

    darkest: int
    """HU of its darkest pixel, gray 0."""
    brightest: int
    """HU of its brightest pixel, gray 255."""
    hu_from: str
    """exact-voi or exact-patch: least squares against real pixels; neighbour: a next slice;
    :data:`~lungdx_paddle.manifest.STRETCHED`: nowhere."""
    hops: int | None
    """How many slices away the nearest real pixels are; None: HU are not known."""

    def of(self, gray: np.ndarray) -> np.ndarray:
        """HU of gray values: float32 of the same shape."""
        step = np.float32((self.brightest - self.darkest) / 255)
        return gray * step + np.float32(self.darkest)

    def doubt(self, picture: np.ndarray) -> str:
        """Why they are not the HU of this picture, (rows, columns) uint8; empty if they are."""
        if self.hops is None:
            return ""
        if self.hops > MOST_HOPS:
            return FAR
        return "" if picture.min() == 0 and picture.max() == 255 else NOT_STRETCHED


AS_IT_IS = PictureHU(-1000, 1040, STRETCHED, None)
"""Leaves gray values in the window 20/2040 as they are, for comparison: they are no HU."""


@lru_cache(maxsize=1)
def known_hu() -> Mapping[str, Mapping[int, PictureHU]]:
    """Of each folder (``LIDC-IDRI-0001/nodule-0``), by the set's number of the slice."""
    found: dict[str, dict[int, PictureHU]] = {}
    with gzip.open(_TABLE, "rt", encoding="utf-8", newline="") as file:
        for patient_id, nodule, k, darkest, brightest, hu_from, hops in list(csv.reader(file))[1:]:
            of_folder = found.setdefault(f"{patient_id}/nodule-{nodule}", {})
            of_folder[int(k)] = PictureHU(int(darkest), int(brightest), hu_from, int(hops))
    return found
