"""A training that gives no number stops with its step and batch, and loses nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import safetensors.numpy

from lungdx_paddle.errors import OutputError
from lungdx_paddle.settings import Config
from lungdx_paddle.training import not_finite, trainer
from lungdx_paddle.training.checkpoint import CHECKPOINT
from lungdx_paddle.training.crossval import cross_validate
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.step import StepResult, TrainingError, TrainingState
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]

EVERY_3 = "train.log_every=3"


def spoilt_at(step: int, seen: dict[str, Any]) -> AbstractContextManager[object]:
    """A training whose weights are no numbers any more before a step."""
    real = trainer.training_step

    def spoil(state: TrainingState) -> StepResult:
        if state.step == step:
            rows = state.train.manifest.rows
            seen["images"] = [rows[i].image for i in state.order.indices(step)]
            seen["weights"] = {
                name: np.array(value.numpy()) for name, value in state.network.state_dict().items()
            }
            state.network.heads["pathology"].bias.set_value(np.full(6, np.nan, np.float32))
        return real(state)

    return patch.object(trainer, "training_step", spoil)


def batch(folder: Path, step: int) -> list[str]:
    with (folder / "not_finite" / "batch.csv").open(encoding="utf-8", newline="") as file:
        return [row["image"] for row in csv.DictReader(file) if row["step"] == str(step)]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*CHECKPOINT, "table2.csv")}


def test_a_loss_that_is_no_number_is_named_with_its_batch_and_its_state_is_kept(
    make_config: Make,
) -> None:
    config = make_config("run", EVERY_3)
    seen: dict[str, Any] = {}
    with spoilt_at(7, seen), pytest.raises(TrainingError) as stopped:
        train(config, "cpu")
    images = seen["images"]
    text = str(stopped.value)
    assert text.startswith(
        f"{config.output_folder}: step 7: expected a loss that is a number, found nan (malignancy "
    )
    assert "pathology nan, L2 " in text
    assert text.endswith(
        f"), in the batch {', '.join(images[:3])} and 13 more; lower train.learning_rate (now "
        f"{config.train.learning_rate:g}); state and batch are in "
        f"{config.output_folder / 'not_finite'}; --resume goes on from the last full row"
    )
    assert batch(config.output_folder, 7) == images and len(batch(config.output_folder, 6)) == 16

    found = json.loads((config.output_folder / "not_finite" / "losses.json").read_text())
    assert found["losses"]["pathology"] == "nan" and found["losses"]["malignancy"] > 0
    assert (found["step"], found["weights_that_are_no_numbers"]) == (7, ["heads.pathology.bias"])
    kept = safetensors.numpy.load_file(config.output_folder / "not_finite" / CHECKPOINT[0])
    assert set(kept) == set(seen["weights"])
    for name, value in seen["weights"].items():  # the running statistics, too
        if name != "heads.pathology.bias":
            np.testing.assert_array_equal(kept[name], value, err_msg=name)


def test_the_checkpoint_of_the_last_full_row_is_whole_and_resumed(make_config: Make) -> None:
    whole, broken = make_config("whole", EVERY_3), make_config("broken", EVERY_3)
    train(whole, "cpu")
    with spoilt_at(7, {}), pytest.raises(TrainingError):
        train(broken, "cpu")
    assert json.loads((broken.output_folder / "latest.json").read_text())["step"] == 6
    train(broken, "cpu", resume=True)
    assert contents(broken.output_folder) == contents(whole.output_folder)


def test_weights_that_an_update_spoils_do_not_become_the_checkpoint(make_config: Make) -> None:
    """The loss of the third step is a number, its update is not, and a row is due."""
    config = make_config("run", "train.log_every=1", "train.steps=3")
    real = trainer.training_step

    def spoil(state: TrainingState) -> StepResult:
        result = real(state)
        if state.step == 3:
            state.network.heads["pathology"].bias.set_value(np.full(6, np.inf, np.float32))
        return result

    names = "step 2: expected weights that are numbers, found nan or infinity in heads.pathology."
    stops = pytest.raises(TrainingError, match=names)
    with patch.object(trainer, "training_step", spoil), stops:
        train(config, "cpu")
    assert json.loads((config.output_folder / "latest.json").read_text())["step"] == 2
    assert len(batch(config.output_folder, 2)) == len(batch(config.output_folder, 1)) == 16


def test_a_learning_rate_that_is_too_large_stops_at_the_same_step_when_resumed(
    make_config: Make,
) -> None:
    config, said = make_config("run", "train.learning_rate=1e15", "train.log_every=1"), []
    for resume in (False, True):
        with pytest.raises(TrainingError, match=r"lower train\.learning_rate \(now 1e\+15\)") as e:
            train(config, "cpu", resume=resume)
        said.append((str(e.value), (config.output_folder / "not_finite/batch.csv").read_text()))
    assert said[0] == said[1]
    train(make_config("run", "train.steps=1"), "cpu")
    assert not (config.output_folder / "not_finite").exists(), "of an earlier training"


def test_a_full_disk_hides_neither_the_step_nor_the_batch(make_config: Make) -> None:
    full = OutputError("run", "a place that can be written to", "No space left", "free some")
    kept = pytest.raises(
        TrainingError, match="step 2: .*, in the batch .*not kept: run: .*No space"
    )
    with spoilt_at(2, {}), patch.object(not_finite, "save_checkpoint", side_effect=full), kept:
        train(make_config("run"), "cpu")


def test_a_fold_is_named(make_config: Make) -> None:
    config = make_config("run", "data.folds=2", "data.split=patient")
    with (
        spoilt_at(2, {}),
        pytest.raises(TrainingError, match="run/fold0: step 2: .* are in .*fold0"),
    ):
        cross_validate(config, JobOptions(jobs=1, device="cpu"))
    assert len(batch(config.output_folder / "fold0", 2)) == 16
