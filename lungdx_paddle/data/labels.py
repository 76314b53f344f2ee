"""Ratings become a malignancy class, a diagnosis becomes a pathology class.

A class counts from 0 and is derived when a manifest is read; -1 means that a task has
no label for an image.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.manifest import Manifest

UNLABELLED = -1
"""The class of an image that a task has no label for."""

MALIGNANCY, PATHOLOGY = "malignancy", "pathology"
TASKS: tuple[str, ...] = (MALIGNANCY, PATHOLOGY)
"""Every task, in the order in which every output lists those of a network."""

LEVELS: tuple[str, ...] = ("1", "2", "3", "4", "5")
"""Malignancy levels, most benign first (paper, section on nodule images)."""

UNKNOWN, BENIGN, PRIMARY, METASTATIC = 0, 1, 2, 3
"""The diagnosis table's codes at the patient level."""

PAPER6: tuple[str, ...] = (
    "normal",
    "lung cancer",
    "non-small cell lung cancer",
    "pneumonia",
    "lung lymphoma",
    "squamous cell lung cancer",
)
"""The paper's six classes in its order; its "normal lung cancer" is the type not named."""


@dataclass(frozen=True)
class LabelSet:
    """The pathology classes of one reading of the diagnosis table; none: it is not read."""

    name: str
    classes: tuple[str, ...]
    """Names, in the order of the class numbers."""
    classify: Callable[[int, str], int]
    """(diagnosis code, primary site) -> class, or -1."""

    @property
    def task_classes(self) -> dict[str, tuple[str, ...]]:
        """{task: class names} of the tasks: malignancy, and pathology where it has classes."""
        return {MALIGNANCY: LEVELS, **({PATHOLOGY: self.classes} if self.classes else {})}


def malignancy_class(ratings: Sequence[int]) -> int:
    """Median of the readers' ratings, halves rounded up, as a class from 0 to 4.

    >>> malignancy_class((5, 5, 5, 4)), malignancy_class((2, 3)), malignancy_class(())
    (4, 2, -1)
    """
    if not ratings:
        return UNLABELLED
    return math.floor(statistics.median(ratings) + 0.5) - 1


def rating_shares(manifest: Manifest) -> np.ndarray:
    """(rows, 5) float32: which part of the readers gave each malignancy level; 0 without any."""
    shares = np.zeros((len(manifest), len(LEVELS)), dtype=np.float32)
    for i, row in enumerate(manifest.rows):
        for rating in row.malignancy_ratings:
            shares[i, rating - 1] += 1.0 / len(row.malignancy_ratings)
    return shares


def pathology_class(diagnosis: int | None, primary_site: str, label_set: LabelSet) -> int:
    """Class of a diagnosed patient's nodules under ``label_set``; -1 without one."""
    return UNLABELLED if diagnosis is None else label_set.classify(diagnosis, primary_site)


def labels_of(manifest: Manifest, label_set: LabelSet) -> dict[str, np.ndarray]:
    """Classes of every row: {task: (rows,) int64, -1 where the task has no label}.

    The tasks are those of the label set.
    """
    rows = manifest.rows
    found = {
        MALIGNANCY: [malignancy_class(row.malignancy_ratings) for row in rows],
        PATHOLOGY: [pathology_class(r.diagnosis, r.primary_site, label_set) for r in rows],
    }
    return {task: np.array(found[task], dtype=np.int64) for task in label_set.task_classes}


@functools.cache
def site_classes() -> Mapping[str, str]:
    """Text of the diagnosis table, in small letters -> paper6 class name or nothing.

    The table itself, with a reason for each row, is ``site_classes.csv`` beside this file.
    """
    table = importlib.resources.files(__package__).joinpath("site_classes.csv")
    lines = table.read_text(encoding="utf-8").splitlines()
    return {row["primary_site"]: row["class"] for row in csv.DictReader(lines)}


def _paper6(diagnosis: int, primary_site: str) -> int:
    named = site_classes().get(" ".join(primary_site.lower().split()), "")
    if diagnosis == BENIGN:
        # A benign nodule stays one, whatever tumour the patient has had elsewhere.
        return PAPER6.index("pneumonia" if named == "pneumonia" else "normal")
    if named:
        return PAPER6.index(named)
    return PAPER6.index("lung cancer") if diagnosis == PRIMARY else UNLABELLED


LABEL_SETS: Mapping[str, LabelSet] = {
    "paper6": LabelSet("paper6", PAPER6, _paper6),
    "tcia4": LabelSet(
        "tcia4", ("unknown", "benign", "primary", "metastatic"), lambda diagnosis, _: diagnosis
    ),
    "binary": LabelSet(
        "binary",
        ("benign", "malignant"),
        lambda diagnosis, _: {BENIGN: 0, PRIMARY: 1, METASTATIC: 1}.get(diagnosis, UNLABELLED),
    ),
    "none": LabelSet("none", (), lambda diagnosis, _: UNLABELLED),
}
"""Every label set by its name in ``data.label_set``."""
