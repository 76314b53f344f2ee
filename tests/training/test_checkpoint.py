"""Checkpoints are whole, fit exactly or are refused with the difference, and run no code."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.errors import CheckpointError, OutputError
from lungdx_paddle.training.checkpoint import (
    load_latest,
    load_weights,
    read_arrays,
    save_latest,
    save_weights,
)
from lungdx_paddle.training.step import TrainingState, training_step

Make = Callable[..., TrainingState]


@pytest.fixture
def run(make_state: Make) -> TrainingState:
    run = make_state("run")
    training_step(run)
    return run


def test_weights_come_back_to_the_bit(run: TrainingState, make_state: Make) -> None:
    path = run.config.output_folder / "best_model.pdparams"
    save_weights(run.network, path)
    other = make_state("other", "seed=5")
    load_weights(other.network, path)
    for name, value in run.network.state_dict().items():
        assert np.array_equal(value.numpy(), other.network.state_dict()[name].numpy()), name


def test_paddle_itself_reads_the_weights(run: TrainingState) -> None:
    import paddle

    path = run.config.output_folder / "best_model.pdparams"
    save_weights(run.network, path)
    assert set(paddle.load(str(path))) == set(run.network.state_dict())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sharing.sites=[]", "units.pool1.own_a is unknown"),
        ("sharing.sites=[conv1, pool1, pool2, fc]", "units.conv1.own_a is missing"),
        ("model.fc=11", r"towers.malignancy.fc.weight is \[384, 10\] instead of \[384, 11\]"),
        ("data.label_set=binary", r"heads.pathology.weight is \[10, 6\] instead of \[10, 2\]"),
    ],
)
def test_a_checkpoint_of_another_network_names_what_differs(
    run: TrainingState, make_state: Make, override: str, message: str
) -> None:
    path = run.config.output_folder / "best_model.pdparams"
    save_weights(run.network, path)
    other = make_state("other", override)
    before = {name: value.numpy() for name, value in other.network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(other.network, path)
    for name, value in other.network.state_dict().items():
        assert np.array_equal(before[name], value.numpy())


class Malicious:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_crafted_file_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "best_model.pdparams"
    path.write_bytes(pickle.dumps({"w": Malicious(tmp_path / "was_run")}))
    with pytest.raises(CheckpointError, match="a damaged or foreign file"):
        read_arrays(path)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("content", [b"", b"junk", pickle.dumps([1, 2])])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "best_model.pdparams"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="best_model.pdparams: expected weights written by"):
        read_arrays(path)


def test_a_missing_checkpoint_says_what_is_missing(run: TrainingState) -> None:
    with pytest.raises(CheckpointError, match="found no latest.pdparams, latest.pdopt"):
        load_latest(run.config.output_folder, run.network, run.optimizer)


def test_a_run_killed_while_it_saves_resumes_from_a_whole_checkpoint(run: TrainingState) -> None:
    save_latest(run.config.output_folder, run.network, run.optimizer, {"step": 1})
    # Killed while the new files were written: the first still waits, the old ones count.
    (run.config.output_folder / "latest.pdparams.new").write_bytes(b"half")
    assert load_latest(run.config.output_folder, run.network, run.optimizer) == {"step": 1}
    # Killed after the first was renamed: the others are whole and take their place.
    (run.config.output_folder / "latest.pdparams.new").unlink()
    (run.config.output_folder / "latest.pdstates.new").write_text('{"step": 2}', encoding="utf-8")
    assert load_latest(run.config.output_folder, run.network, run.optimizer) == {"step": 2}


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(run: TrainingState) -> None:
    save_latest(run.config.output_folder, run.network, run.optimizer, {"step": 1})
    (run.config.output_folder / "latest.pdopt.new").mkdir()
    with pytest.raises(OutputError, match="what was there before is whole"):
        save_latest(run.config.output_folder, run.network, run.optimizer, {"step": 2})
    (run.config.output_folder / "latest.pdopt.new").rmdir()
    assert load_latest(run.config.output_folder, run.network, run.optimizer) == {"step": 1}
