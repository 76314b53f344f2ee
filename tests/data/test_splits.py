"""What a split keeps together never stands on both sides, and leakage is counted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS, labels_of
from lungdx_paddle.data.splits import Split, make_fold, make_split
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest

MADE_UP = {
    "image": ("671b3a9de7995fef", "4c5a9aa87e22e6ec"),
    "nodule": ("d658af0957852468", "bc3765e8125dbaa5"),
    "patient": ("b4195e23cf024a20", "1e08346908253342"),
}
REAL = {
    "image": ("12f7860289f69a91", "296a6f6105002def"),
    "nodule": ("0b43b2532e568c0b", "7954b3b71dbbc1a3"),
    "patient": ("24f3094978b1fd0d", "8d4647164c821fc0"),
}
"""Digests of the splits of seeds 0 and 1, and of five folds, as of version 0.1.0."""


@pytest.fixture
def manifest(write_crops: Callable[..., Path]) -> Manifest:
    return read_manifest(write_crops(patients=20, nodules=3, slices=5))


def split_of(manifest: Manifest, by: str, seed: int = 0, fraction: float = 0.2) -> Split:
    strata = labels_of(manifest, LABEL_SETS["paper6"])["pathology"]
    return make_split(manifest, by, fraction, seed, strata)


@pytest.mark.parametrize("by", ["image", "nodule", "patient"])
def test_both_sides_cover_everything_once_near_the_test_fraction(
    manifest: Manifest, by: str
) -> None:
    split = split_of(manifest, by)
    assert sorted([*split.train, *split.test]) == list(range(len(manifest)))
    assert 0.15 <= len(split.test) / len(manifest) <= 0.27


@pytest.mark.parametrize("by", ["image", "nodule", "patient"])
def test_the_same_seed_gives_the_same_split_and_another_seed_another(
    manifest: Manifest, by: str
) -> None:
    assert np.array_equal(split_of(manifest, by).test, split_of(manifest, by).test)
    assert not np.array_equal(split_of(manifest, by).test, split_of(manifest, by, seed=1).test)


@pytest.mark.parametrize(
    ("by", "patients_apart", "nodules_apart"),
    [("patient", True, True), ("nodule", False, True), ("image", False, False)],
)
def test_a_split_keeps_apart_what_it_says_and_no_more(
    manifest: Manifest, by: str, patients_apart: bool, nodules_apart: bool
) -> None:
    split = split_of(manifest, by)
    train, test = (manifest.select(side).rows for side in (split.train, split.test))
    patients = {row.patient_id for row in train} & {row.patient_id for row in test}
    nodules = {row.nodule_key for row in train} & {row.nodule_key for row in test}
    assert (not patients, not nodules) == (patients_apart, nodules_apart)


@pytest.mark.parametrize("by", ["image", "nodule", "patient"])
def test_every_class_with_two_groups_is_on_both_sides(manifest: Manifest, by: str) -> None:
    split = split_of(manifest, by)
    pathology = labels_of(manifest, LABEL_SETS["paper6"])["pathology"]
    assert set(pathology[split.test]) == set(pathology[split.train]) == set(pathology)


def test_a_leaking_patient_split_cannot_be_built(manifest: Manifest) -> None:
    expected = (
        f"{re.escape(str(manifest.folder))}: expected a split by patient with no patient on both "
        "sides, found 1, such as P00; build it with make_split"
    )
    with pytest.raises(ManifestError, match=expected):
        Split(manifest, "patient", np.array([0, 20]), np.array([1]))


def test_one_patient_cannot_be_split_by_patient(write_crops: Callable[..., Path]) -> None:
    one = read_manifest(write_crops(patients=1))
    expected = f"^{re.escape(str(one.folder))}: expected at least 2 .*, found 1 in 10 crops; use"
    with pytest.raises(ManifestError, match=expected):
        split_of(one, "patient")
    assert len(split_of(one, "image").test) == 2


def digest(splits: Iterable[Split]) -> str:
    rows = [[split.train.tolist(), split.test.tolist()] for split in splits]
    return hashlib.blake2b(str(rows).encode(), digest_size=8).hexdigest()


def digests(manifest: Manifest, by: str) -> tuple[str, str]:
    strata = labels_of(manifest, LABEL_SETS["paper6"])["pathology"]
    folds = (make_fold(manifest, by, (fold, 5), 0, strata) for fold in range(5))
    return digest(split_of(manifest, by, seed) for seed in (0, 1)), digest(folds)


@pytest.mark.parametrize(("by", "expected"), MADE_UP.items())
def test_the_same_arguments_give_the_same_split_in_every_version(
    manifest: Manifest, by: str, expected: tuple[str, str]
) -> None:
    """Published scores stand on these very rows."""
    assert digests(manifest, by) == expected


@pytest.mark.lidc
@pytest.mark.parametrize(("by", "expected"), REAL.items())
def test_the_real_crops_are_split_as_for_the_published_scores(
    lidc32: Path, by: str, expected: tuple[str, str]
) -> None:
    manifest = read_manifest(lidc32)
    three = [i for i, row in enumerate(manifest.rows) if row.readers >= 3]
    assert digests(manifest.select(three), by) == expected


def test_two_patients_of_different_classes_still_give_two_sides(
    write_crops: Callable[..., Path],
) -> None:
    two = read_manifest(write_crops(patients=2))
    split = split_of(two, "patient")
    assert split.test.tolist() == list(range(10))
    assert split.train.tolist() == list(range(10, 20))


def test_folds_are_about_equal_though_patients_have_other_numbers_of_crops(
    crop_rows: list[ManifestRow],
) -> None:
    crops = {f"P{k:02d}": 1 + k for k in range(40)}
    rows = [replace(crop_rows[0], patient_id=name) for name, n in crops.items() for _ in range(n)]
    manifest, strata = Manifest(Path(), rows), np.zeros(len(rows), int)
    for seed in range(5):
        tests = [len(make_fold(manifest, "patient", (k, 5), seed, strata).test) for k in range(5)]
        # The last patient goes to the emptiest fold, which then has at most its crops more.
        assert max(tests) - min(tests) <= max(crops.values()), tests
