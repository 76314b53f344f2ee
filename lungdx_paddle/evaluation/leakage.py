"""Images that stand on both sides of a split, whatever their names say.

Which patients and nodules do is counted by :func:`lungdx_paddle.data.splits.leakage_between`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.splits import leakage_between

ALIKE = 0.985
"""Cosine of two crops' gray values above which they are near-duplicates.

Among 2422 LIDC-IDRI crops of NODULE_PIXELS or more, no crop of one patient reaches it with
any of another's (the highest is 0.984)."""

NODULE_PIXELS = 100
"""Least nodule pixels of a crop that is compared by ALIKE.

Spots of a few pixels look alike by chance: of 6064 LIDC-IDRI crops of any size 5 in 100
have a stranger above 0.98.  Smaller crops count as duplicates only if all pixels agree."""

DARK = 20
"""Gray value up to which a pixel is the black around a nodule, with its JPG noise."""

BLOCK = 512
"""Images compared at a time; a block against 5000 takes 10 MB."""


def near_duplicates(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) the most alike of ``others`` for each image, -1 where none is a near-duplicate.

    Normalised correlation without centring: the crops' black surroundings are their zero.

    Args:
        images: (n, rows, columns) uint8.
        others: (m, rows, columns) uint8.
    """
    found = np.full(len(images), -1, dtype=np.int64)
    first = {image.tobytes(): i for i, image in reversed(list(enumerate(others)))}
    for i, image in enumerate(images):
        found[i] = first.get(image.tobytes(), -1)
    mine = np.flatnonzero(_large(images) & (found < 0))
    theirs = np.flatnonzero(_large(others))
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


def audit(train: NoduleDataset, test: NoduleDataset) -> dict[str, Any]:
    """What a test part leaks, ready for JSON: patients, nodules and near-duplicate images.

    Args:
        train: the crops that were learned from.
        test: those that are judged, of the same manifest or of another.

    Returns:
        Besides the counts of both sides, ``near_duplicate_test_images`` (test images with a
        near-duplicate in the training part) and ``near_duplicates_of_other_patients`` (those
        that are alike though named as different patients: copies under two names).
    """
    leakage = leakage_between(train.manifest, test.manifest)
    nearest = near_duplicates(test.images, train.images)
    alike = [
        (test.manifest.rows[i], train.manifest.rows[nearest[i]])
        for i in np.flatnonzero(nearest >= 0).tolist()
    ]
    copies = f"; {len(alike)} test images are near-duplicates of training images" if alike else ""
    return {
        "leaks": leakage.leaks,
        "in_words": str(leakage) + copies,
        "patients_on_both_sides": leakage.patients,
        "nodules_on_both_sides": leakage.nodules,
        "test_images_of_known_patients": leakage.test_images,
        "near_duplicate_test_images": len(alike),
        "near_duplicates_of_other_patients": sum(a.patient_id != b.patient_id for a, b in alike),
    }


def _large(images: np.ndarray) -> np.ndarray:
    return np.asarray((images > DARK).sum(axis=(1, 2)) >= NODULE_PIXELS)


def _unit_vectors(images: np.ndarray) -> np.ndarray:
    flat = images.reshape(len(images), -1).astype(np.float32)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
