"""Crops and their labels as a Paddle dataset, and batches of it.

A crop stays 8 bit in memory (1 KB) and turns to float a batch at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import paddle

from lungdx_paddle.data.cache import cache_file
from lungdx_paddle.data.images import read_images
from lungdx_paddle.data.labels import LABEL_SETS, PATHOLOGY, LabelSet, labels_of
from lungdx_paddle.data.splits import Split, make_fold, make_split
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import CROP_SIZE, Manifest, manifest_file, read_manifest
from lungdx_paddle.settings import DataConfig

Indices = Sequence[int] | np.ndarray
"""Positions of images in a dataset."""

BLOCK = 1024
"""Images that are looked at together where all are: 1 MB of a million."""


@dataclass(frozen=True)
class Batch:
    """Some images and their labels."""

    images: np.ndarray
    """(n, 1, 32, 32) float32 gray values from 0 to 255."""
    labels: Mapping[str, np.ndarray]
    """{task: (n,) int64}, -1 where the task has no label."""


class NoduleDataset(paddle.io.Dataset):
    """The crops of a manifest with both tasks' labels.

    Item ``i`` is ``(image, malignancy, pathology)``: a (1, 32, 32) float32 array of gray
    values from 0 to 255 and two int64 classes, -1 where the task has no label.  It works
    with ``paddle.io.DataLoader``; training takes whole batches with :meth:`batch`.

    Args:
        manifest: the rows to serve, in their order.
        label_set: how the diagnosis becomes a class.
        cache: file that keeps the pixels for the next time (:mod:`lungdx_paddle.data.cache`).

    Raises:
        ManifestError: a JPG cannot be decoded or is not 32x32; the message names it.
    """

    def __init__(self, manifest: Manifest, label_set: LabelSet, cache: Path | None = None) -> None:
        super().__init__()
        self.manifest = manifest
        self.label_set = label_set
        self.labels = labels_of(manifest, label_set)
        self._pixels = read_images(manifest, cache)
        self._places = np.arange(len(manifest), dtype=np.int32)

    def __len__(self) -> int:
        return len(self.manifest)

    @property
    def images(self) -> np.ndarray:
        """(n, 32, 32) uint8 gray values of all images: a copy, unless they are the whole."""
        whole = len(self) == len(self._pixels) and (np.diff(self._places) == 1).all()
        return self._pixels if whole else self._pixels[self._places]

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        batch = self.batch(np.array([index]))
        return (batch.images[0], *(labels[0] for labels in batch.labels.values()))

    def batch(self, indices: Indices) -> Batch:
        """The images at ``indices``, in that order."""
        chosen = np.asarray(indices)
        images = self._pixels[self._places[chosen]].astype(np.float32)[:, np.newaxis]
        return Batch(images, {task: labels[chosen] for task, labels in self.labels.items()})

    def subset(self, indices: Indices) -> NoduleDataset:
        """A dataset of the images at ``indices``; it shares the pixels with this one."""
        chosen = np.asarray(indices)
        part = object.__new__(NoduleDataset)
        part.manifest, part.label_set = self.manifest.select(chosen), self.label_set
        part.labels = {task: labels[chosen] for task, labels in self.labels.items()}
        part._pixels, part._places = self._pixels, self._places[chosen]
        return part

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each pixel over all images: two (32, 32) float64."""
        total, squares = np.zeros((2, CROP_SIZE, CROP_SIZE), dtype=np.int64)
        for start in range(0, len(self), BLOCK):
            block = self._pixels[self._places[start : start + BLOCK]]
            total += block.sum(axis=0, dtype=np.int64)
            squares += np.square(block, dtype=np.uint16).sum(axis=0, dtype=np.int64)
        mean = total / len(self)
        variance = squares / len(self) - np.square(mean)
        return mean, np.sqrt(np.maximum(variance, 0.0))  # of equal pixels it may round below 0

    def batches(self, size: int) -> Iterator[Batch]:
        """All images once, in order; the last batch may be smaller."""
        for start in range(0, len(self), size):
            yield self.batch(np.arange(start, min(start + size, len(self))))


class TrainingOrder:
    """Which images a training step sees: a new random order every epoch.

    The order depends on seed and step alone, so a resumed run sees what an unbroken one
    would.  An epoch leaves out the images that do not fill a batch.

    Args:
        images: number of training images.
        batch_size: images a step; all of them if there are fewer.
        seed: of the orders.
    """

    def __init__(self, images: int, batch_size: int, seed: int) -> None:
        self.images = images
        self.batch_size = min(batch_size, images)
        self.seed = seed
        self.steps_per_epoch = images // self.batch_size
        self._epoch = -1
        self._order = np.arange(0)

    def indices(self, step: int) -> np.ndarray:
        """(batch_size,) indices of the images of ``step``, counted from 0."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._order = np.random.default_rng([self.seed, epoch]).permutation(self.images)
            self._epoch = epoch
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]


def load_split(config: DataConfig, seed: int) -> tuple[NoduleDataset, Split]:
    """Read the crops that a config asks for and split them, by fraction or into folds.

    Returns:
        The dataset of all rows with ``min_readers`` or more, and the split of it.

    Raises:
        ManifestError: as :func:`load_dataset`, or a task has no label on the training side.
    """
    dataset = load_dataset(config)
    return dataset, split_of(dataset, config, seed)


def split_of(dataset: NoduleDataset, config: DataConfig, seed: int) -> Split:
    """Split a dataset as a config asks, the rarer task's classes balanced."""
    manifest, strata = dataset.manifest, dataset.labels[PATHOLOGY]
    if config.folds:
        return make_fold(manifest, config.split, (config.fold, config.folds), seed, strata)
    return make_split(manifest, config.split, config.test_fraction, seed, strata)


def load_dataset(config: DataConfig) -> NoduleDataset:
    """Read the crops that a config asks for: all rows with ``min_readers`` or more.

    Raises:
        ManifestError: the manifest or a crop is bad, or no row has enough readers.
    """
    manifest = read_manifest(config.manifest)
    readers = manifest.rows.derive(int, "readers")
    if readers.max() < config.min_readers:
        raise ManifestError(
            config.manifest,
            expected=f"slices that {config.min_readers} or more readers outlined",
            found=f"{len(manifest)} slices with at most {readers.max()}",
            fix=f"lower data.min_readers to {readers.max()}",
        )
    _check_one_window(manifest)
    cache = cache_file(manifest_file(config.manifest))
    dataset = NoduleDataset(manifest, LABEL_SETS[config.label_set], cache)
    return dataset.subset(np.flatnonzero(readers >= config.min_readers))


def _check_one_window(manifest: Manifest) -> None:
    if len(manifest.windows) > 1:
        found = ", ".join(f"{center:g}/{width:g}" for center, width in manifest.windows[:4])
        raise ManifestError(
            str(manifest.folder / "manifest.csv"),
            expected="one HU window (centre/width) for all crops",
            found=found,
            fix="preprocess the whole collection with one --window",
        )


def check_labels(dataset: NoduleDataset, where: str, tasks: Sequence[str]) -> dict[str, int]:
    """Count the labelled images of each task.

    Raises:
        ManifestError: one of ``tasks`` has none.
    """
    counts = {task: int((labels >= 0).sum()) for task, labels in dataset.labels.items()}
    for task in tasks:
        if counts[task] == 0:
            raise ManifestError(
                where,
                expected=f"images with a label for {task}",
                found=f"none among {len(dataset)} training images",
                fix="use data that has ratings and diagnoses, or another data.label_set",
            )
    return counts
