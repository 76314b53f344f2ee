"""What the tests of a training share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lungdx_paddle.data.dataset import load_dataset, split_of
from lungdx_paddle.settings import Config
from lungdx_paddle.training import trainer
from lungdx_paddle.training.step import StepResult, TrainingState, prepare


@pytest.fixture
def make_state(make_config: Callable[..., Config]) -> Callable[..., TrainingState]:
    """A function (folder name, overrides) -> the testing config's training before its step 1."""

    def make(folder: str, *overrides: str) -> TrainingState:
        config = make_config(folder, *overrides)
        dataset = load_dataset(config.data)
        split = split_of(dataset, config.data)
        return prepare(config, dataset.subset(split.train), dataset.subset(split.test))

    return make


@pytest.fixture
def train_until(monkeypatch: pytest.MonkeyPatch) -> Callable[[Config, int], None]:
    """A function that trains and is interrupted, as by Ctrl-C, when so many steps are done."""

    def run(config: Config, steps: int) -> None:
        real = trainer.training_step

        def interrupted(state: TrainingState) -> StepResult:
            if state.step == steps:
                raise KeyboardInterrupt
            return real(state)

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(trainer, "training_step", interrupted)
            trainer.train(config, "cpu")

    return run
