"""Crops and their labels as a Paddle dataset, and batches of it.

A crop stays 8 bit in memory (1 KB) and turns to float a batch at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import paddle

from lungdx_paddle.data.images import read_images
from lungdx_paddle.data.labels import (
    LABEL_SETS,
    LabelSet,
    labels_of,
    rating_shares,
    with_patient_nodules,
)
from lungdx_paddle.data.splits import Split, make_fold, make_split
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest, read_manifest
from lungdx_paddle.settings import DataConfig

Indices = Sequence[int] | np.ndarray
"""Positions of images in a dataset."""


@dataclass(frozen=True)
class Batch:
    """Some images and their labels."""

    images: np.ndarray
    """(n, 1, 32, 32) float32 gray values from 0 to 255."""
    labels: Mapping[str, np.ndarray]
    """{task: (n,) int64}, -1 where the task has no label."""


class NoduleDataset(paddle.io.Dataset):
    """The crops of a manifest with each task's labels.

    Item ``i`` is ``(image, malignancy, pathology)``: a (1, 32, 32) float32 array of gray
    values from 0 to 255 and an int64 class for each task of the label set, -1 where it has no
    label.  It works with ``paddle.io.DataLoader``; training takes whole batches with
    :meth:`batch`.

    Args:
        manifest: the rows to serve, in their order.
        label_set: how the diagnosis becomes a class.
        images: (rows, 32, 32) uint8 gray values; None: decode the manifest's crops.

    Raises:
        ManifestError: a JPG cannot be decoded or is not 32x32; the message names it.
    """

    def __init__(
        self, manifest: Manifest, label_set: LabelSet, images: np.ndarray | None = None
    ) -> None:
        super().__init__()
        self.manifest = replace(manifest, rows=with_patient_nodules(manifest.rows))
        self.label_set = label_set
        self.labels = labels_of(self.manifest, label_set)
        self.images = read_images(manifest) if images is None else images

    def __len__(self) -> int:
        return len(self.manifest)

    def __repr__(self) -> str:
        labelled = (f"{int((of >= 0).sum())} with {task}" for task, of in self.labels.items())
        return f"<NoduleDataset: {len(self)} crops, {', '.join(labelled)} ({self.label_set.name})>"

    @functools.cached_property
    def rating_shares(self) -> np.ndarray:
        """(images, 5) float32: which part of the readers gave each malignancy level."""
        return rating_shares(self.manifest)

    @property
    def labelled_patients(self) -> dict[str, int]:
        """{task: patients with a label for it}."""
        patients = np.array([row.patient_id for row in self.manifest.rows])
        return {task: len(set(patients[of >= 0].tolist())) for task, of in self.labels.items()}

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        batch = self.batch(np.array([index]))
        return (batch.images[0], *(labels[0] for labels in batch.labels.values()))

    def batch(self, indices: Indices) -> Batch:
        """The images at ``indices``, in that order."""
        chosen = np.asarray(indices)
        images = self.images[chosen].astype(np.float32)[:, np.newaxis]
        return Batch(images, {task: labels[chosen] for task, labels in self.labels.items()})

    def subset(self, indices: Indices) -> NoduleDataset:
        """A dataset of the images at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return NoduleDataset(self.manifest.select(chosen), self.label_set, self.images[chosen])

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each pixel over all images: two (32, 32) float64."""
        total = self.images.sum(axis=0, dtype=np.int64)
        squares = np.square(self.images, dtype=np.uint16).sum(axis=0, dtype=np.int64)
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


def split_of(dataset: NoduleDataset, config: DataConfig) -> Split:
    """Split a dataset by a config's ``split_seed``, the last task's classes balanced.

    Of two tasks it is the one with fewer labels.
    """
    *_, strata = dataset.labels.values()
    manifest, seed = dataset.manifest, config.split_seed
    if config.folds:
        return make_fold(manifest, config.split, (config.fold, config.folds), seed, strata)
    return make_split(manifest, config.split, config.test_fraction, seed, strata)


def load_dataset(config: DataConfig) -> NoduleDataset:
    """Read a config's crops: all rows with ``min_readers`` or more.

    Raises:
        ManifestError: the manifest or a crop is bad, no row has enough readers, or the crops
            differ in what their gray values mean or in crop rule.
    """
    manifest = read_manifest(config.manifest)
    readers = np.array([row.readers for row in manifest.rows])
    if readers.max() < config.min_readers:
        raise ManifestError(
            config.manifest,
            expected=f"slices that {config.min_readers} or more readers outlined",
            found=f"{len(manifest)} slices with at most {readers.max()}",
            fix=f"lower data.min_readers to {readers.max()}",
        )
    for what, found, option in (
        ("one HU window (centre/width)", manifest.grays, "--window"),
        ("one crop rule", manifest.crop_rules, "--crop"),
    ):
        if len(found) > 1:
            raise ManifestError(
                config.manifest,
                expected=f"{what} for all crops",
                found=", ".join(found[:4]),
                fix=f"preprocess the whole collection with one {option}",
            )
    used = manifest.select(np.flatnonzero(readers >= config.min_readers))
    return NoduleDataset(used, LABEL_SETS[config.label_set])
