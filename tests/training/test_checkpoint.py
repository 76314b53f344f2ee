"""Checkpoints are whole, fit exactly or are refused with the difference, and run no code."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest
import safetensors.numpy

from lungdx_paddle.errors import CheckpointError, OutputError
from lungdx_paddle.models.network import build_network
from lungdx_paddle.settings import Config
from lungdx_paddle.training.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    load_weights,
    read_checkpoint_state,
    save_checkpoint,
)
from lungdx_paddle.training.optimizer import Optimizer
from lungdx_paddle.training.parallel.threads import Threads

Make = Callable[..., Config]

ORIGIN = "of these settings and crops"


class Saved:
    """A network and its optimizer after a step, and a folder for their checkpoint."""

    def __init__(self, config: Config) -> None:
        self.config, self.folder = config, config.output_folder
        self.network = build_network(config)
        self.optimizer = Optimizer(self.network, config.train, Threads())
        images = paddle.rand([4, 1, 32, 32]) * 255.0
        self.optimizer.backward(sum(logits.sum() for logits in self.network(images).values()))
        self.optimizer.step()

    def save(self, step: int) -> None:
        save_checkpoint(self.folder, self.network, self.optimizer, step, ORIGIN)

    def load(self) -> int:
        return load_checkpoint(self.folder, self.network, self.optimizer, ORIGIN)


@pytest.fixture
def saved(make_config: Make) -> Saved:
    made = Saved(make_config("run"))
    made.save(1)
    return made


def test_weights_and_moments_come_back_to_the_bit(saved: Saved, make_config: Make) -> None:
    other = Saved(make_config("other", "seed=5"))
    assert load_checkpoint(saved.folder, other.network, other.optimizer, ORIGIN) == 1
    for name, value in saved.network.state_dict().items():
        assert np.array_equal(value.numpy(), other.network.state_dict()[name].numpy()), name
    other.save(1)
    for name in CHECKPOINT:
        assert (other.folder / name).read_bytes() == (saved.folder / name).read_bytes()


def test_safetensors_itself_reads_the_weights(saved: Saved) -> None:
    read = safetensors.numpy.load_file(saved.folder / "latest.safetensors")
    assert set(read) == set(saved.network.state_dict())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sharing.sites=[]", "units.fc.cross_a is unknown"),
        ("sharing.sites=[conv1, pool1, pool2, fc]", "units.conv1.own_a is missing"),
        ("model.fc=11", r"towers.malignancy.fc.weight is \[384, 10\] instead of \[384, 11\]"),
        ("data.label_set=binary", r"heads.pathology.weight is \[10, 6\] instead of \[10, 2\]"),
    ],
)
def test_a_checkpoint_of_another_network_names_what_differs(
    saved: Saved, make_config: Make, override: str, message: str
) -> None:
    other = build_network(make_config("other", override))
    before = {name: value.numpy() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_weights(other, saved.folder, ORIGIN)
    for name, value in other.state_dict().items():
        assert np.array_equal(before[name], value.numpy())


class Malicious:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_a_crafted_file_runs_nothing(saved: Saved, tmp_path: Path) -> None:
    crafted = pickle.dumps({"w": Malicious(tmp_path / "was_run")})
    (saved.folder / "latest.safetensors").write_bytes(crafted)
    with pytest.raises(CheckpointError, match="a file of another checkpoint, or damaged"):
        saved.load()
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("name", CHECKPOINT[:2])
def test_files_of_two_checkpoints_are_not_read_as_one(saved: Saved, name: str) -> None:
    first = (saved.folder / name).read_bytes()
    saved.optimizer.backward(
        sum(v.sum() for v in saved.network(paddle.ones([2, 1, 32, 32])).values())
    )
    saved.optimizer.step()
    saved.save(2)
    (saved.folder / name).write_bytes(first)
    with pytest.raises(CheckpointError, match=f"{name}: .*a file of another checkpoint"):
        saved.load()


@pytest.mark.parametrize("kind", ["nan", "float64"])
def test_weights_that_are_no_finite_float32_are_refused(saved: Saved, kind: str) -> None:
    weights = {name: v.numpy() for name, v in saved.network.state_dict().items()}
    name = "towers.malignancy.fc.weight"
    saved.network.state_dict()[name].set_value(np.full_like(weights[name], np.nan))
    if kind == "nan":
        saved.save(2)
        with pytest.raises(CheckpointError, match=f"finite float32 weights, found {name} is not"):
            saved.load()
        return
    from lungdx_paddle.training import checkpoint

    content = safetensors.numpy.save({k: v.astype(np.float64) for k, v in weights.items()})
    (saved.folder / "latest.safetensors").write_bytes(content)
    state = saved.folder / "latest.json"
    old = read_checkpoint_state(saved.folder, ORIGIN).weights
    state.write_text(state.read_text().replace(old, checkpoint.digest(content)))
    with pytest.raises(CheckpointError, match="finite float32 weights, found .* is float64"):
        saved.load()


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"step": "5", "weights": "a", "optimizer": "b"}', "[" * 10**5]
)
def test_a_damaged_state_is_named(saved: Saved, text: str) -> None:
    (saved.folder / "latest.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match="latest.json: expected JSON with a step"):
        saved.load()


def test_a_checkpoint_of_another_training_is_refused(saved: Saved) -> None:
    with pytest.raises(CheckpointError, match="found one of other settings, crops or another spl"):
        load_checkpoint(saved.folder, saved.network, saved.optimizer, "of another split")


def test_a_missing_checkpoint_says_what_is_missing(saved: Saved) -> None:
    (saved.folder / "latest.safetensors").unlink()
    with pytest.raises(CheckpointError, match="found no latest.safetensors; train without"):
        saved.load()


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_a_training_killed_while_it_saves_resumes_from_a_whole_checkpoint(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    """Killed after so many of the three renames: the new checkpoint is whole."""
    replace, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if len(calls) == renamed:
            raise KeyboardInterrupt
        calls.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        saved.save(2)
    monkeypatch.setattr(os, "replace", replace)
    assert saved.load() == 2


def test_a_training_killed_while_it_writes_resumes_from_the_checkpoint_before(
    saved: Saved,
) -> None:
    (saved.folder / "latest.safetensors.next").write_bytes(b"half")
    assert saved.load() == 1
    shutil.copy(saved.folder / "latest.json", saved.folder / "latest.json.next")
    state = saved.folder / "latest.json.next"
    state.write_text(
        state.read_text().replace('"step": 1', '"step": 2').replace('weights": "', 'weights": "0')
    )
    assert saved.load() == 1


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(saved: Saved) -> None:
    (saved.folder / "latest_optimizer.safetensors.next").mkdir()
    with pytest.raises(OutputError, match="what was there before is whole"):
        saved.save(2)
    (saved.folder / "latest_optimizer.safetensors.next").rmdir()
    assert saved.load() == 1
