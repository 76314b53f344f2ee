"""A small phantom series, and made-up predictions of crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.lidc.scan import Scan, find_scans
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="session")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A series of 8 slices with its nodules."""
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, patients=1, jobs=1, settings=PhantomSettings(rows=128, slices=8))
    return find_scans(folder)[0]


@pytest.fixture
def dataset(write_crops: Callable[..., Path]) -> NoduleDataset:
    """80 crops of 8 patients, 30 with both labels."""
    return NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])


@pytest.fixture
def predictions(dataset: NoduleDataset) -> Predictions:
    """Random probabilities of the dataset's crops."""
    random = np.random.default_rng(0)
    sizes = {task: len(names) for task, names in dataset.label_set.task_classes.items()}
    made = {t: random.dirichlet(np.ones(n), len(dataset)) for t, n in sizes.items()}
    rows = tuple(dataset.manifest.rows)
    return Predictions(rows, dataset.labels, made, dataset.label_set, dataset.images)
