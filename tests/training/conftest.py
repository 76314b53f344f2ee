"""What the tests of a training share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lungdx_paddle.data.dataset import load_dataset, split_of
from lungdx_paddle.settings import Config
from lungdx_paddle.training.step import TrainingState, prepare


@pytest.fixture
def make_state(make_config: Callable[..., Config]) -> Callable[..., TrainingState]:
    """A function (folder name, overrides) -> the testing config's training before its step 1."""

    def make(folder: str, *overrides: str) -> TrainingState:
        config = make_config(folder, *overrides)
        dataset = load_dataset(config.data)
        split = split_of(dataset, config.data)
        return prepare(config, dataset.subset(split.train), dataset.subset(split.test))

    return make
