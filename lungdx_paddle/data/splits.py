"""Train and test sides of a manifest, and what leaks from one to the other.

The paper must have split by image (PAPER: 4 : 1), which puts neighbouring slices of one
nodule on both sides.  The three splits differ in one thing only: what stays together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Mapping, Sequence, Tuple, Union

import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest

_KEEP_TOGETHER: Mapping[str, Tuple[str, ...]] = {
    "image": ("image",),
    "nodule": ("patient_id", "nodule"),
    "patient": ("patient_id",),
}
"""What a split keeps together -> the columns that name it."""


@dataclass(frozen=True)
class Leakage:
    """What stands on both sides of a split."""

    patients: int
    nodules: int
    test_images: int
    """Test images of a patient who is in the training part too."""
    test_total: int

    @property
    def leaks(self) -> bool:
        """Whether any patient is on both sides."""
        return self.patients > 0

    def __str__(self) -> str:
        if not self.leaks:
            return "no patient is on both sides of the split"
        return (
            f"this split leaks: {self.patients} patients and {self.nodules} nodules are on both "
            f"sides, {self.test_images} of {self.test_total} test images show a patient from the "
            "training part; data.split=patient gives the honest number"
        )


@dataclass(frozen=True)
class Split:
    """Row indices of the two sides; a split that breaks its promise cannot be built.

    Raises:
        ManifestError: what ``by`` says stays together is on both sides.
    """

    manifest: Manifest
    by: str
    train: np.ndarray
    """(n,) int64, ascending."""
    test: np.ndarray
    """(m,) int64, ascending."""

    def __post_init__(self) -> None:
        names = _KEEP_TOGETHER[self.by]
        groups, first = self.manifest.rows.groups(*names)
        both = np.intersect1d(groups[self.train], groups[self.test])
        if len(both):
            row = self.manifest.rows[int(first[both[0]])]
            such = ", ".join(str(getattr(row, name)) for name in names)
            raise ManifestError(
                str(self.manifest.folder),
                expected=f"a split by {self.by} with no {self.by} on both sides",
                found=f"{len(both)}, such as {such}",
                fix="build it with make_split",
            )

    def leakage(self) -> Leakage:
        """Count the patients and nodules on both sides."""
        patient = self.manifest.rows.groups(*_KEEP_TOGETHER["patient"])[0]
        nodule = self.manifest.rows.groups(*_KEEP_TOGETHER["nodule"])[0]
        patients = np.intersect1d(patient[self.train], patient[self.test])
        nodules = np.intersect1d(nodule[self.train], nodule[self.test])
        return Leakage(
            patients=len(patients),
            nodules=len(nodules),
            test_images=int(np.isin(patient[self.test], patients).sum()),
            test_total=len(self.test),
        )


def make_split(
    manifest: Manifest,
    by: str,
    test_fraction: float,
    seed: int,
    strata: Union[Sequence[int], np.ndarray],
) -> Split:
    """Split a manifest's rows; the same arguments give the same split.

    The rare labels decide whether a test says anything, so every stratum gives its part:
    what stays together is dealt, in random order, to the test until that holds
    ``test_fraction`` of the stratum's images, and at least one stays for training.

    Args:
        manifest: the rows to split.
        by: image, nodule or patient; what stays together.
        test_fraction: part of the images for the test, between 0 and 1.
        seed: of the random order.
        strata: (rows,) the class to balance, such as the pathology class; -1 counts as one.

    Raises:
        ManifestError: there are too few groups for two sides.
    """
    groups, first = manifest.rows.groups(*_KEEP_TOGETHER[by])
    if len(first) < 2:
        raise ManifestError(
            str(manifest.folder),
            expected=f"at least two of what a split by {by} keeps together",
            found=f"{len(first)} in {len(manifest)} crops",
            fix="use more data, or data.split=image",
        )
    sizes = np.bincount(groups)
    # A group's rarest fact is its highest class: -1 stands for no label at all.
    stratum = np.full(len(first), np.min(strata))
    np.maximum.at(stratum, groups, strata)
    test = np.zeros(len(first), dtype=bool)
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        random = np.random.default_rng([seed, len(members)])
        test[members[_deal(sizes[members], test_fraction, random)]] = True
    if not test.any():  # every stratum had but one group
        test[0] = True
    return Split(manifest, by, np.flatnonzero(~test[groups]), np.flatnonzero(test[groups]))


def _deal(sizes: np.ndarray, fraction: float, random: np.random.Generator) -> List[int]:
    """Which of a stratum's groups, of so many images each, go to the test."""
    wanted = fraction * sizes.sum()
    dealt: List[int] = []
    images = 0
    for position in random.permutation(len(sizes))[1:].tolist():  # one stays for training
        if images + sizes[position] / 2 <= wanted or not dealt:
            dealt.append(position)
            images += sizes[position]
    return dealt
