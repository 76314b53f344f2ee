"""Split a manifest into a training and a test part, by image, nodule or patient.

The paper must have split by image (PAPER: 4 : 1), which puts neighbouring slices of one
nodule on both sides.  The three splits differ in one thing only: what stays together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest, ManifestRow

GROUP_OF: Mapping[str, Callable[[ManifestRow], object]] = {
    "image": attrgetter("image"),
    "nodule": attrgetter("nodule_key"),
    "patient": attrgetter("patient_id"),
}
"""Kind of split -> what stays on one side: rows for which this is equal."""


@dataclass(frozen=True)
class Split:
    """Row indices of the training and the test part; what ``by`` names is on one side only.

    Raises:
        ManifestError: an image, a nodule or a patient is on both sides.
    """

    manifest: Manifest
    by: str
    """image, nodule or patient."""
    train: np.ndarray
    """(n,) int64, ascending."""
    test: np.ndarray
    """(m,) int64, ascending."""

    def __post_init__(self) -> None:
        train, test = (
            dict.fromkeys(GROUP_OF[self.by](self.manifest.rows[i]) for i in side)
            for side in (self.train, self.test)
        )
        both = [group for group in train if group in test]
        if both:
            raise ManifestError(
                str(self.manifest.folder),
                expected=f"a split by {self.by} with no {self.by} on both sides",
                found=f"{len(both)}, such as {both[0]}",
                fix="build it with make_split",
            )

    def __repr__(self) -> str:
        return f"<Split by {self.by}: {len(self.train)} training, {len(self.test)} test crops>"


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
        images, wanted = 0, test_fraction * sizes[members].sum()
        order = np.random.default_rng([seed, len(members)]).permutation(members)
        for group in order[1:]:  # one stays for training
            if images + sizes[group] / 2 <= wanted or images == 0:
                test[group] = True
                images += sizes[group]
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
    """(rows,) the number of each row's group, and the numbers of the groups of each stratum.

    Both count in the order in which they first appear.
    """
    numbers: dict[object, int] = {}
    keys = map(GROUP_OF[by], manifest.rows)
    groups = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
    if len(numbers) < least:
        raise ManifestError(
            str(manifest.folder),
            expected=f"at least {least} of what a split by {by} keeps together",
            found=f"{len(numbers)} in {len(manifest)} crops",
            fix="use more data, or data.split=image",
        )
    # A group is stratified by its highest class, the rarest; -1 means unlabelled.
    stratum = np.full(len(numbers), np.min(strata))
    np.maximum.at(stratum, groups, strata)
    return groups, [np.flatnonzero(stratum == value) for value in dict.fromkeys(stratum.tolist())]
