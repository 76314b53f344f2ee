"""Train and test sides of a manifest, and what leaks from one to the other.

The paper must have split by image (PAPER: 4 : 1), which puts neighbouring slices of one
nodule on both sides.  The three splits differ in one thing only: what stays together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, Hashable, List, Mapping, Sequence, Tuple, Union

import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest, ManifestRow

_KEEP_TOGETHER: Mapping[str, Callable[[ManifestRow], Hashable]] = {
    "image": lambda row: row.image,
    "nodule": lambda row: row.nodule_key,
    "patient": lambda row: row.patient_id,
}


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
        keys = [_KEEP_TOGETHER[self.by](row) for row in self.manifest.rows]
        both = {keys[i] for i in self.train} & {keys[i] for i in self.test}
        if both:
            raise ManifestError(
                str(self.manifest.folder),
                expected=f"a split by {self.by} with no {self.by} on both sides",
                found=f"{len(both)}, such as {next(iter(both))}",
                fix="build it with make_split",
            )

    def leakage(self) -> Leakage:
        """Count the patients and nodules on both sides."""
        train, test = ([self.manifest.rows[i] for i in side] for side in (self.train, self.test))
        patients = {row.patient_id for row in train}
        nodules = {row.nodule_key for row in train}
        return Leakage(
            patients=len(patients & {row.patient_id for row in test}),
            nodules=len(nodules & {row.nodule_key for row in test}),
            test_images=sum(row.patient_id in patients for row in test),
            test_total=len(test),
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
    groups = _groups(manifest, by, 2)
    test = np.zeros(len(manifest), dtype=bool)
    for members in _by_stratum(groups, strata).values():
        for index in _deal(members, test_fraction, np.random.default_rng([seed, len(members)])):
            test[index] = True
    if not test.any():  # every stratum had but one group
        test[next(iter(groups.values()))] = True
    return Split(manifest, by, np.flatnonzero(~test), np.flatnonzero(test))


def make_fold(
    manifest: Manifest,
    by: str,
    folds: Tuple[int, int],
    seed: int,
    strata: Union[Sequence[int], np.ndarray],
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
    groups = _groups(manifest, by, count)
    owner = np.zeros(len(manifest), dtype=np.int64)
    in_all = np.zeros(count)
    for members in _by_stratum(groups, strata).values():
        load = np.zeros(count)
        for position in np.random.default_rng([seed, len(members)]).permutation(len(members)):
            # Among equals the one that is emptiest as a whole, so that no fold stays empty.
            lightest = int(np.lexsort((in_all, load))[0])
            owner[members[position]] = lightest
            load[lightest] += len(members[position])
            in_all[lightest] += len(members[position])
    return Split(manifest, by, np.flatnonzero(owner != fold), np.flatnonzero(owner == fold))


def _groups(manifest: Manifest, by: str, least: int) -> Dict[Hashable, List[int]]:
    """{what stays together: its rows}, at least so many."""
    groups: Dict[Hashable, List[int]] = {}
    for index, row in enumerate(manifest.rows):
        groups.setdefault(_KEEP_TOGETHER[by](row), []).append(index)
    if len(groups) < least:
        raise ManifestError(
            str(manifest.folder),
            expected=f"at least {least} of what a split by {by} keeps together",
            found=f"{len(groups)} in {len(manifest)} crops",
            fix="use more data, or data.split=image",
        )
    return groups


def _by_stratum(
    groups: Mapping[Hashable, List[int]], strata: Union[Sequence[int], np.ndarray]
) -> Dict[int, List[List[int]]]:
    members: Dict[int, List[List[int]]] = {}
    for indices in groups.values():
        # A group's rarest fact is its highest class: -1 stands for no label at all.
        members.setdefault(max(int(strata[i]) for i in indices), []).append(indices)
    return members


def _deal(members: List[List[int]], fraction: float, random: np.random.Generator) -> List[int]:
    wanted = fraction * sum(len(group) for group in members)
    dealt: List[int] = []
    for position in random.permutation(len(members))[1:]:  # one group stays for training
        group = members[position]
        if len(dealt) + len(group) / 2 <= wanted or not dealt:
            dealt.extend(group)
    return dealt
