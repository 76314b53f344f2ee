"""What a test part shares with the training part: patients, nodules, near-duplicate crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.matching import nodule_names, patient_names
from lungdx_paddle.manifest import ManifestRow

ALIKE = 0.985
"""Cosine of two crops' gray values above which they are near-duplicates.

Among 2422 LIDC-IDRI crops of NODULE_PIXELS or more, no crop of one patient reaches it with
any of another's (the highest is 0.984)."""

NODULE_PIXELS = 100
"""Least nodule pixels of a crop that is compared by ALIKE.

Spots of a few pixels look alike by chance: of 6064 LIDC-IDRI crops of any size 5 in 100
have a crop of another patient above 0.98.  Smaller crops are duplicates only if all pixels
agree."""

DARK = 20
"""Gray value up to which a pixel is the black around a nodule, with its JPG noise."""

BLOCK = 512
"""Images compared at a time; a block against 5000 takes 10 MB."""


@dataclass(frozen=True)
class Leakage:
    """Counts of what training and test part share; ``+`` adds those of two networks."""

    test_images: int
    test_images_of_known_patients: int
    """Test images of a patient who is in the training part, too."""
    patients_on_both_sides: int
    nodules_on_both_sides: int
    near_duplicate_test_images: int | None
    """Test images with a near-duplicate in the training part; None where its pixels are gone."""
    near_duplicates_of_other_patients: int | None
    """Those whose near-duplicate is named as another patient: copies under two names."""

    @property
    def leaks(self) -> bool:
        """Whether any patient is on both sides."""
        return self.patients_on_both_sides > 0

    def __str__(self) -> str:
        words = "no patient is on both sides of the split"
        if self.leaks:
            words = (
                f"this split leaks: {self.patients_on_both_sides} patients and "
                f"{self.nodules_on_both_sides} nodules are on both sides, "
                f"{self.test_images_of_known_patients} of {self.test_images} test images show "
                "a patient of the training part; data.split=patient gives the number on unseen "
                "patients"
            )
        copies = self.near_duplicate_test_images
        if copies is None:
            words += "; not all training crops are there, so copies of them were not looked for"
        elif copies:
            are = "image is a near-duplicate" if copies == 1 else "images are near-duplicates"
            words += f"; {copies} test {are} of training images"
        return words

    def __add__(self, other: Leakage) -> Leakage:
        sums = {
            field.name: None if None in pair else sum(pair)
            for field in fields(self)
            for pair in [(getattr(self, field.name), getattr(other, field.name))]
        }
        return Leakage(**sums)  # type: ignore[arg-type]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: ``leaks``, every count, and the sentence ``in_words``."""
        return {"leaks": self.leaks, **asdict(self), "in_words": str(self)}

    @staticmethod
    def from_dict(entry: Mapping[str, Any]) -> Leakage:
        """What :meth:`to_dict` turned into ``entry``."""
        return Leakage(**{field.name: entry[field.name] for field in fields(Leakage)})


def leakage(
    train: Sequence[ManifestRow], test: NoduleDataset, train_images: np.ndarray | None = None
) -> Leakage:
    """Count what a training and a test part share.

    Two crops are of one patient if patient ID or series UID are the same.

    Args:
        train: the crops that a network is trained on.
        test: those that it is evaluated on, of the same manifest or of another.
        train_images: (len(train), 32, 32) uint8, if available.
    """
    rows = test.manifest.rows
    nodules = {name for row in train for name in nodule_names(row)}
    patients = {name for row in train for name in patient_names(row)}
    known = [row for row in rows if not patients.isdisjoint(patient_names(row))]
    pairs: list[tuple[ManifestRow, ManifestRow]] | None = None
    if train_images is not None:
        nearest = near_duplicates(test.images, train_images)
        pairs = [(rows[i], train[nearest[i]]) for i in np.flatnonzero(nearest >= 0).tolist()]
    return Leakage(
        test_images=len(test),
        test_images_of_known_patients=len(known),
        patients_on_both_sides=len({row.patient_id for row in known}),
        nodules_on_both_sides=len(
            {row.nodule_key for row in known if not nodules.isdisjoint(nodule_names(row))}
        ),
        near_duplicate_test_images=None if pairs is None else len(pairs),
        near_duplicates_of_other_patients=None
        if pairs is None
        else sum(a.patient_id != b.patient_id for a, b in pairs),
    )


def near_duplicates(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) index of the most similar of ``others``, -1 where none is a near-duplicate.

    Normalised correlation without centring: the crops' black surroundings are their zero.

    Args:
        images: (n, rows, columns) uint8.
        others: (m, rows, columns) uint8.
    """
    first = {image.tobytes(): i for i, image in reversed(list(enumerate(others)))}
    found = np.array([first.get(image.tobytes(), -1) for image in images], dtype=np.int64)
    mine, theirs = (
        np.flatnonzero((crops > DARK).sum(axis=(1, 2)) >= NODULE_PIXELS)
        for crops in (images, others)
    )
    mine = mine[found[mine] < 0]
    if not len(theirs):
        return found
    units = _unit_vectors(others[theirs]).T
    for start in range(0, len(mine), BLOCK):
        block = mine[start : start + BLOCK]
        cosine = _unit_vectors(images[block]) @ units
        nearest = cosine.argmax(axis=1)
        alike = cosine[np.arange(len(block)), nearest] > ALIKE
        found[block[alike]] = theirs[nearest[alike]]
    return found


def _unit_vectors(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
