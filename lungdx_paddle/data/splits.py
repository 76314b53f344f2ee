"""Train and test sides of a manifest, and what leaks from one to the other.

The paper must have split by image (PAPER: 4 : 1), which puts neighbouring slices of one
nodule on both sides.  The three splits differ in one thing only: what stays together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest

_KEEP_TOGETHER: Mapping[str, tuple[str, ...]] = {
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
        groups = self.manifest.rows.groups(*names)[0]
        both = self._on_both_sides(groups)
        if len(both):
            row = self.manifest.rows[int(np.argmax(groups == both[0]))]
            such = ", ".join(str(getattr(row, name)) for name in names)
            raise ManifestError(
                str(self.manifest.folder),
                expected=f"a split by {self.by} with no {self.by} on both sides",
                found=f"{len(both)}, such as {such}",
                fix="build it with make_split",
            )

    def leakage(self) -> Leakage:
        """Count the patients and nodules on both sides."""
        sides = (self.manifest.select(side) for side in (self.train, self.test))
        return leakage_between(*sides)

    def _on_both_sides(self, groups: np.ndarray) -> np.ndarray:
        """Numbers of the groups, given for each row, that are on both sides."""
        sides = np.zeros((2, groups.max() + 1), dtype=bool)
        sides[0, groups[self.train]] = sides[1, groups[self.test]] = True
        return np.flatnonzero(sides.all(axis=0))


def leakage_between(train: Manifest, test: Manifest) -> Leakage:
    """Count the patients and nodules in both of two manifests, or parts of one."""
    patient, patients = _known(test, train, "patient")
    _, nodules = _known(test, train, "nodule")
    return Leakage(
        patients=int(patients.sum()),
        nodules=int(nodules.sum()),
        test_images=int(patients[patient].sum()),
        test_total=len(test),
    )


def not_learned(manifest: Manifest, train: Manifest, by: str) -> np.ndarray:
    """(rows,) bool: which rows share no image, nodule or patient with a training part.

    Args:
        manifest: the rows asked about, of the same manifest as ``train`` or of another.
        train: what was learned from.
        by: image, nodule or patient.
    """
    group, known = _known(manifest, train, by)
    return np.asarray(~known[group])


def _known(test: Manifest, train: Manifest, by: str) -> tuple[np.ndarray, np.ndarray]:
    """(rows,) the group of each row of ``test``; (groups,) bool, whether ``train`` has it too."""
    names = [_names(manifest, by) for manifest in (test, train)]
    learned = set(names[1][1])
    return names[0][0], np.array([name in learned for name in names[0][1]], dtype=bool)


def _names(manifest: Manifest, by: str) -> tuple[np.ndarray, list[tuple[Any, ...]]]:
    columns = _KEEP_TOGETHER[by]
    group, first = manifest.rows.groups(*columns)
    rows = manifest.rows.select(first)
    return group, list(zip(*(rows.column(name) for name in columns)))


def make_split(
    manifest: Manifest,
    by: str,
    test_fraction: float,
    seed: int,
    strata: Sequence[int] | np.ndarray,
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
    groups, by_stratum = _grouped(manifest, by, strata, 2)
    sizes = np.bincount(groups)
    test = np.zeros(len(sizes), dtype=bool)
    for members in by_stratum:
        random = np.random.default_rng([seed, len(members)])
        test[members] = _deal(sizes[members], test_fraction, random)
    if not test.any():  # every stratum had but one group
        test[0] = True
    return Split(manifest, by, np.flatnonzero(~test[groups]), np.flatnonzero(test[groups]))


def make_fold(
    manifest: Manifest,
    by: str,
    folds: tuple[int, int],
    seed: int,
    strata: Sequence[int] | np.ndarray,
) -> Split:
    """One fold of a cross-validation as a split; over all folds each row is tested once.

    The groups of each stratum go, in random order, to the fold that has fewest of its images.

    Args:
        manifest: the rows to split.
        by: image, nodule or patient; what stays together.
        folds: (which fold is the test, of how many).
        seed: of the random order; the folds of one seed belong together.
        strata: (rows,) the class to balance; -1 counts as one.

    Raises:
        ManifestError: there are fewer groups than folds.
    """
    fold, count = folds
    groups, by_stratum = _grouped(manifest, by, strata, count)
    sizes = np.bincount(groups)
    owner = np.zeros(len(sizes), dtype=np.int32)
    in_all = np.zeros(count)
    for members in by_stratum:
        load = np.zeros(count)
        for group in np.random.default_rng([seed, len(members)]).permutation(members):
            # Among equals the one that is emptiest as a whole, so that no fold stays empty.
            lightest = int(np.lexsort((in_all, load))[0])
            owner[group] = lightest
            load[lightest] += sizes[group]
            in_all[lightest] += sizes[group]
    test = owner[groups] == fold
    return Split(manifest, by, np.flatnonzero(~test), np.flatnonzero(test))


def _grouped(
    manifest: Manifest, by: str, strata: Sequence[int] | np.ndarray, least: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """(rows,) the group of what stays together, and the groups of each stratum.

    Both count in the order in which they first appear.
    """
    groups, first = manifest.rows.groups(*_KEEP_TOGETHER[by])
    if len(first) < least:
        raise ManifestError(
            str(manifest.folder),
            expected=f"at least {least} of what a split by {by} keeps together",
            found=f"{len(first)} in {len(manifest)} crops",
            fix="use more data, or data.split=image",
        )
    # A group's rarest fact is its highest class: -1 stands for no label at all.
    stratum = np.full(len(first), np.min(strata))
    np.maximum.at(stratum, groups, strata)
    return groups, [np.flatnonzero(stratum == value) for value in dict.fromkeys(stratum.tolist())]


def _deal(sizes: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Which of a stratum's groups, of so many images each, go to the test: (groups,) bool."""
    wanted = fraction * sizes.sum()
    dealt = np.zeros(len(sizes), dtype=bool)
    images = 0
    for position in random.permutation(len(sizes))[1:]:  # one group stays for training
        if images + sizes[position] / 2 <= wanted or images == 0:
            dealt[position] = True
            images += sizes[position]
    return dealt
