"""Crops are served as arrays with both labels, and a bad file is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest

from lungdx_paddle.data.dataset import NoduleDataset, TrainingOrder, load_dataset, split_of
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config, DataConfig


@pytest.fixture
def dataset(write_crops: Callable[..., Path]) -> NoduleDataset:
    return NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])


def test_an_item_is_an_image_and_a_class_for_each_task(dataset: NoduleDataset) -> None:
    image, malignancy, pathology = dataset[0]
    assert image.shape == (1, 32, 32) and image.dtype == np.float32
    assert 0 <= image.min() and 100 > image.max() > 30
    assert (malignancy, pathology) == (0, 0)
    assert dataset[10][2] == -1  # the second patient is not diagnosed
    assert len(dataset) == 80


def test_paddles_own_loader_serves_it(dataset: NoduleDataset) -> None:
    loader = paddle.io.DataLoader(dataset, batch_size=32, num_workers=0)
    images, malignancy, pathology = next(iter(loader))
    assert list(images.shape) == [32, 1, 32, 32]
    assert list(malignancy.shape) == list(pathology.shape) == [32]


def test_a_subset_and_batches_keep_images_and_labels_together(dataset: NoduleDataset) -> None:
    part = dataset.subset([30, 2])
    assert part.manifest.rows[0] == dataset.manifest.rows[30]
    assert np.array_equal(part.batch([0]).images, dataset.batch([30]).images)
    sizes = [len(batch.images) for batch in dataset.batches(32)]
    assert sizes == [32, 32, 16]


def test_pixel_statistics_are_those_of_the_images_served(dataset: NoduleDataset) -> None:
    part = dataset.subset(np.arange(0, 80, 3))
    mean, deviation = part.pixel_statistics()
    np.testing.assert_allclose(mean, part.images.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(deviation, part.images.std(axis=0), atol=1e-9)
    assert (dataset.subset([4, 4, 4]).pixel_statistics()[1] == 0).all()


def test_an_epoch_shows_every_image_once_in_a_new_order() -> None:
    order = TrainingOrder(images=10, batch_size=3, seed=0)
    first = np.concatenate([order.indices(step) for step in range(3)])
    second = np.concatenate([order.indices(step) for step in range(3, 6)])
    assert order.steps_per_epoch == 3
    assert max(Counter(first.tolist()).values()) == 1
    assert not np.array_equal(first, second)


def test_the_order_of_a_step_does_not_depend_on_the_steps_before() -> None:
    walked = TrainingOrder(10, 3, seed=4)
    for step in range(8):
        walked.indices(step)
    assert np.array_equal(walked.indices(8), TrainingOrder(10, 3, seed=4).indices(8))


def test_fewer_images_than_a_batch_make_one_smaller_batch() -> None:
    order = TrainingOrder(5, 128, seed=0)
    assert order.steps_per_epoch == 1
    assert sorted(order.indices(7)) == [0, 1, 2, 3, 4]


def test_min_readers_chooses_the_slices(write_crops: Callable[..., Path]) -> None:
    path = str(write_crops())
    every = load_dataset(DataConfig(manifest=path, min_readers=1))
    three = load_dataset(DataConfig(manifest=path, min_readers=3))
    split = split_of(three, DataConfig())
    assert len(every) == 80
    assert len(three) == len(split.train) + len(split.test) == 48
    assert min(row.readers for row in three.manifest.rows) == 3
    with pytest.raises(ManifestError, match="lower data.min_readers to 4"):
        load_dataset(DataConfig(manifest=path, min_readers=5))


def test_a_manifest_that_mixes_windows_is_refused(write_crops: Callable[..., Path]) -> None:
    path = write_crops(patients=2)
    rows = read_manifest(path).rows
    write_manifest(path, [replace(rows[0], window_center=-600.0), *rows[1:]])
    with pytest.raises(ManifestError, match="one HU window .* found -600/2040 HU, 20/2040 HU"):
        load_dataset(DataConfig(manifest=str(path), min_readers=1))


def test_a_manifest_that_mixes_hu_and_stretched_pictures_is_refused(
    write_crops: Callable[..., Path],
) -> None:
    path = write_crops(patients=2)
    rows = read_manifest(path).rows
    write_manifest(path, [replace(rows[0], hu_from="stretched"), *rows[1:]])
    with pytest.raises(ManifestError, match="one HU window .* found stretched, 20/2040 HU"):
        load_dataset(DataConfig(manifest=str(path), min_readers=1))


def test_a_manifest_that_mixes_crop_rules_is_refused(write_crops: Callable[..., Path]) -> None:
    path = write_crops(patients=2)
    rows = read_manifest(path).rows
    write_manifest(path, [replace(rows[0], crop="context"), *rows[1:]])
    with pytest.raises(ManifestError, match="one crop rule .* found context, paper; .* --crop"):
        load_dataset(DataConfig(manifest=str(path), min_readers=1))


def test_the_split_depends_on_its_own_seed_alone(make_config: Callable[..., Config]) -> None:
    configs = [make_config("run", *seeds) for seeds in ([], ["seed=1"], ["data.split_seed=1"])]
    parts = [split_of(load_dataset(c.data), c.data).test.tolist() for c in configs]
    assert parts[0] == parts[1] != parts[2]


@pytest.mark.lidc
def test_the_real_crops_all_read(lidc32: Path) -> None:
    config = DataConfig(manifest=str(lidc32), split="patient")
    dataset = load_dataset(config)
    split = split_of(dataset, config)
    assert len(dataset) == 6064
    sides = (dataset.manifest.select(side).rows for side in (split.train, split.test))
    assert set.isdisjoint(*({row.patient_id for row in rows} for rows in sides))
