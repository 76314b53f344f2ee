"""A copy on the other side of a split is found, under whatever name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.data.splits import make_split
from lungdx_paddle.evaluation.leakage import Leakage, leakage, near_duplicates
from lungdx_paddle.manifest import read_manifest


@pytest.fixture
def crops() -> np.ndarray:
    """30 crops that have nothing in common but their place."""
    random = np.random.default_rng(0)
    images = np.zeros((30, 32, 32), dtype=np.uint8)
    images[:, 8:24, 8:24] = random.integers(21, 255, (30, 16, 16))
    return images


def test_unlike_crops_are_no_duplicates(crops: np.ndarray) -> None:
    assert (near_duplicates(crops[:10], crops[10:]) == -1).all()


def test_a_planted_copy_is_found_also_when_brighter_and_noisy(crops: np.ndarray) -> None:
    others = crops[10:].copy()
    noise = np.random.default_rng(1).integers(-5, 6, (32, 32)) * (crops[3] > 0)
    others[7] = np.clip(0.9 * crops[3] + noise, 0, 255).astype(np.uint8)
    found = near_duplicates(crops[:10], others)
    assert found[3] == 7 and (np.delete(found, 3) == -1).all()


def test_a_spot_is_a_duplicate_only_if_every_pixel_agrees() -> None:
    spot = np.zeros((1, 32, 32), dtype=np.uint8)
    spot[0, 15:18, 15:18] = 200
    assert near_duplicates(spot, spot)[0] == 0
    assert near_duplicates(spot, np.where(spot > 0, 199, 0).astype(np.uint8))[0] == -1


def test_black_crops_and_empty_sides_are_defined(crops: np.ndarray) -> None:
    assert near_duplicates(np.zeros_like(crops), crops).max() == -1
    assert len(near_duplicates(crops[:0], crops)) == 0
    assert (near_duplicates(crops, crops[:0]) == -1).all()


def test_a_copy_under_another_name_is_counted(write_crops: Callable[..., Path]) -> None:
    dataset = NoduleDataset(read_manifest(write_crops(patients=10)), LABEL_SETS["paper6"])
    dataset.images[:] = np.random.default_rng(0).integers(0, 255, dataset.images.shape)
    split = make_split(dataset.manifest, "patient", 0.2, 0, dataset.labels["pathology"])
    train, test = dataset.subset(split.train), dataset.subset(split.test)
    assert leakage(train.manifest.rows, test, train.images) == Leakage(len(test), 0, 0, 0, 0, 0)
    dataset.images[split.test[0]] = dataset.images[split.train[0]]
    found = leakage(train.manifest.rows, dataset.subset(split.test), train.images)
    assert not found.leaks
    assert found.near_duplicate_test_images == found.near_duplicates_of_other_patients == 1


def test_patients_nodules_and_images_on_both_sides_are_counted(
    write_crops: Callable[..., Path],
) -> None:
    dataset = NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])
    # 10 crops a patient, 5 a nodule: P00 with both nodules, P01 with one of two.
    train, test = dataset.subset(range(0, 15)), dataset.subset([0, 5, 15, 20])
    found = leakage(train.manifest.rows, test, train.images)
    assert found.leaks and found.to_dict()["leaks"] is True
    assert (found.patients_on_both_sides, found.nodules_on_both_sides) == (2, 2)
    assert (found.test_images, found.test_images_of_known_patients) == (4, 3)
    assert (found + found).patients_on_both_sides == 4
    assert "this split leaks: 2 patients and 2 nodules are on both sides, 3 of 4" in str(found)
    assert Leakage.from_dict(found.to_dict()) == found


def test_a_series_on_both_sides_is_one_patient_under_two_names(
    write_crops: Callable[..., Path],
) -> None:
    dataset = NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])
    train = [replace(row, patient_id=f"A{row.patient_id}") for row in dataset.manifest.rows]
    test = dataset.subset([0, 5, 15])  # two nodules of P00 and one of P01
    found = leakage(train[:15], test)
    assert (found.patients_on_both_sides, found.nodules_on_both_sides) == (2, 2)
    unknown = [replace(row, series_uid="") for row in train]
    assert not leakage(unknown, test).leaks


def test_near_duplicates_are_unknown_where_the_training_crops_are_gone(
    write_crops: Callable[..., Path],
) -> None:
    dataset = NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])
    test = dataset.subset(range(70, 80))
    found = leakage(dataset.manifest.rows[:70], test)
    assert found.near_duplicate_test_images is None and not found.leaks
    assert "no patient is on both sides" in str(found)
    assert "not all training crops are there" in str(found)
    whole = leakage(dataset.manifest.rows[:70], test, dataset.images[:70])
    assert (found + whole).near_duplicate_test_images is None
