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
from dataclasses import dataclass, replace

import numpy as np

from lungdx_paddle.manifest import Manifest, ManifestRow

UNLABELLED = -1
"""The class of an image that a task has no label for."""

MALIGNANCY, PATHOLOGY = "malignancy", "pathology"
TASKS: tuple[str, ...] = (MALIGNANCY, PATHOLOGY)
"""Every task, in the order in which every output lists those of a network."""

LEVELS: tuple[str, ...] = ("1", "2", "3", "4", "5")
"""Malignancy levels, most benign first (paper, section on nodule images)."""

LEVEL_WORDS: Mapping[str, str] = {
    "1": "highly unlikely",
    "2": "moderately unlikely",
    "3": "indeterminate",
    "4": "moderately suspicious",
    "5": "highly suspicious",
}
"""LIDC's words for the levels: how likely a reader takes it that the nodule is cancer."""

UNKNOWN, BENIGN, PRIMARY, METASTATIC = 0, 1, 2, 3
"""The diagnosis table's codes of patients and of nodules."""

TISSUE = frozenset((2, 3))
"""The diagnosis table's methods that looked at tissue: biopsy and resection."""

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
    classify: Callable[[ManifestRow], int]
    """Class of a crop, or -1."""
    needs: tuple[str, ...] = ()
    """Columns that a manifest may lack, and without which no crop has a class."""

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


def with_patient_nodules(rows: Sequence[ManifestRow]) -> tuple[ManifestRow, ...]:
    """The rows, each with the number of its patient's nodules, where nodules have diagnoses.

    It is counted here unless it is there already, so that the classes of a part of the rows are
    those that they have among all.
    """
    nodules: dict[str, set[int]] = {}
    for row in rows:
        nodules.setdefault(row.patient_id, set()).add(row.nodule)
    return tuple(
        replace(row, patient_nodules=len(nodules[row.patient_id]))
        if row.nodule_diagnoses and row.patient_nodules is None
        else row
        for row in rows
    )


def labels_of(manifest: Manifest, label_set: LabelSet) -> dict[str, np.ndarray]:
    """Classes of every row: {task: (rows,) int64, -1 where the task has no label}.

    The tasks are those of the label set.
    """
    rows = with_patient_nodules(manifest.rows)
    found = {
        MALIGNANCY: [malignancy_class(row.malignancy_ratings) for row in rows],
        PATHOLOGY: [label_set.classify(row) for row in rows],
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


def _paper6(row: ManifestRow) -> int:
    if row.diagnosis is None:
        return UNLABELLED
    named = site_classes().get(" ".join(row.primary_site.lower().split()), "")
    if row.diagnosis == BENIGN:
        # A benign nodule stays one, whatever tumour the patient has had elsewhere.
        return PAPER6.index("pneumonia" if named == "pneumonia" else "normal")
    if named:
        return PAPER6.index(named)
    return PAPER6.index("lung cancer") if row.diagnosis == PRIMARY else UNLABELLED


def _by_code(classes: Mapping[int | None, int]) -> Callable[[ManifestRow], int]:
    return lambda row: classes.get(row.diagnosis, UNLABELLED)


_MALIGNANT: Mapping[int | None, int] = {BENIGN: 0, PRIMARY: 1, METASTATIC: 1}


def _agreed(codes: Sequence[int | None]) -> int:
    """0 where all codes are benign, 1 where all are malignant, else -1."""
    found = {_MALIGNANT.get(code, UNLABELLED) for code in codes}
    return found.pop() if len(found) == 1 else UNLABELLED


def _certain(row: ManifestRow) -> int:
    """The class of the patient's nodules, if each has a diagnosis of its own and all agree."""
    # The table does not say which nodule it means: all, where there are no more than it lists.
    codes = row.nodule_diagnoses
    return _agreed(codes) if len(codes) == row.patient_nodules else UNLABELLED


def _tissue(row: ManifestRow) -> int:
    """The class of the nodules that the table lists, if all were found by biopsy or resection.

    A patient's biopsy may be of another place than the lung, and the nodule known by its growth:
    the patient's method counts only where the table has none of nodules.
    """
    codes, methods = row.nodule_diagnoses, row.nodule_methods
    if not methods:
        return _agreed([row.diagnosis]) if row.diagnosis_method in TISSUE else UNLABELLED
    return _agreed(codes) if TISSUE.issuperset(methods) else UNLABELLED


_BINARY = "benign", "malignant"

LABEL_SETS: Mapping[str, LabelSet] = {
    label_set.name: label_set
    for label_set in (
        LabelSet("paper6", PAPER6, _paper6),
        LabelSet(
            "tcia4",
            ("unknown", "benign", "primary", "metastatic"),
            _by_code({code: code for code in range(4)}),
        ),
        LabelSet("binary", _BINARY, _by_code(_MALIGNANT)),
        LabelSet("binary_certain", _BINARY, _certain, ("nodule_diagnoses",)),
        LabelSet("tissue_proven", _BINARY, _tissue, ("diagnosis_method",)),
        LabelSet("benign_primary", ("benign", "primary"), _by_code({BENIGN: 0, PRIMARY: 1})),
        LabelSet(
            "benign_metastatic", ("benign", "metastatic"), _by_code({BENIGN: 0, METASTATIC: 1})
        ),
        LabelSet("none", (), _by_code({})),
    )
}
"""Every label set by its name in ``data.label_set``."""
