"""Checkpoints are whole, fit exactly or are refused with the difference, and run no code."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from collections.abc import Callable
from dataclasses import asdict, replace
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
    CheckpointState,
    digest,
    load_checkpoint,
    load_weights,
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


def put(saved: Saved, name: str, content: bytes) -> None:
    """Put a file into the checkpoint as if the training had written it."""
    path, key = saved.folder / "latest.json", "optimizer" if "optimizer" in name else "weights"
    (saved.folder / name).write_bytes(content)
    state = CheckpointState(**{**json.loads(path.read_text()), key: digest(content)})
    path.write_text(json.dumps(asdict(replace(state, own=state.checksum))))


def test_weights_that_are_not_finite_are_refused(saved: Saved) -> None:
    name = "towers.malignancy.fc.weight"
    weight = saved.network.state_dict()[name]
    for value in (np.nan, np.inf):
        weight.set_value(np.full_like(weight.numpy(), value))
        saved.save(2)
        with pytest.raises(CheckpointError, match=f"finite float32 values, found {name} is not f"):
            saved.load()


@pytest.mark.parametrize("name", CHECKPOINT[:2])
@pytest.mark.parametrize("kind", ["float64", "float16", "int64", "bool", "complex64"])
def test_values_of_another_kind_are_refused(saved: Saved, name: str, kind: str) -> None:
    arrays = safetensors.numpy.load_file(saved.folder / name)
    put(saved, name, safetensors.numpy.save({k: v.astype(kind) for k, v in arrays.items()}))
    with pytest.raises(CheckpointError, match=f"{name}: expected finite float32.* is {kind}.*copy"):
        saved.load()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ('{"a":{"dtype":"BF16","shape":[8],"data_offsets":[0,16]}}', "values of the type BF16"),
        ('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,16]}}', "no safetensors file"),
        (
            '{"a":{"dtype":"F32","shape":[1152921504606846976,16],"data_offsets":[0,16]}}',
            "no safetensors file",
        ),
        ("[" * 100_000, "no safetensors file"),
    ],
)
def test_a_header_that_promises_other_things_is_refused(
    saved: Saved, header: str, found: str
) -> None:
    put(saved, CHECKPOINT[0], struct.pack("<Q", len(header)) + header.encode() + bytes(16))
    with pytest.raises(CheckpointError, match=f"latest.safetensors: .*found {found}"):
        saved.load()
    put(saved, CHECKPOINT[0], struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(CheckpointError, match="found no safetensors file .*header too large"):
        saved.load()


def test_moments_that_are_missing_or_of_another_shape_are_refused(saved: Saved) -> None:
    name, path = "heads.malignancy.bias/moment1_0", saved.folder / CHECKPOINT[1]
    arrays = safetensors.numpy.load_file(path)
    del arrays[name]
    put(saved, CHECKPOINT[1], safetensors.numpy.save(arrays))
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        saved.load()
    put(saved, CHECKPOINT[1], safetensors.numpy.save({**arrays, name: np.zeros(3, np.float32)}))
    with pytest.raises(CheckpointError, match=rf"{name} is \[3\] instead of \[5\]"):
        saved.load()


@pytest.mark.parametrize("name", CHECKPOINT)
def test_a_pipe_a_device_and_a_huge_file_are_not_read(saved: Saved, name: str) -> None:
    path = saved.folder / name
    os.truncate(path, 2**36)
    with pytest.raises(CheckpointError):
        saved.load()
    path.unlink()
    for target in ("/dev/zero", "a link to itself"):
        path.symlink_to(path if target != "/dev/zero" else target)
        with pytest.raises(CheckpointError, match=f"found no {name}"):
            saved.load()
        path.unlink()
    os.mkfifo(path)
    with pytest.raises(CheckpointError, match=f"found no {name}"):
        saved.load()


def test_a_checkpoint_may_have_more_than_a_gigabyte(saved: Saved) -> None:
    """As that of the dense unit has: it is read, and here refused for what is in it."""
    os.truncate(saved.folder / CHECKPOINT[0], 2**30 + 1)
    with pytest.raises(CheckpointError, match="found a file of another checkpoint, or damaged"):
        saved.load()


def test_a_step_that_was_changed_is_noticed(saved: Saved) -> None:
    """Going on from there would train with the weights of one step at another."""
    path = saved.folder / "latest.json"
    path.write_text(path.read_text().replace('"step": 1', '"step": 10'))
    with pytest.raises(CheckpointError, match="latest.json: .*found something else"):
        saved.load()


def test_a_checkpoint_of_an_earlier_version_is_read(saved: Saved) -> None:
    path = saved.folder / "latest.json"
    state = json.loads(path.read_text())
    del state["own"]
    path.write_text(json.dumps(state))
    assert saved.load() == 1


@pytest.mark.parametrize("step", ["-5", "5.5", "1e400", "NaN", "1000000001", "9" * 5000, "true"])
def test_a_step_that_no_training_has_is_refused(saved: Saved, step: str) -> None:
    path = saved.folder / "latest.json"
    state = json.loads(path.read_text())
    del state["own"]
    path.write_text(json.dumps(state).replace('"step": 1', f'"step": {step}'))
    with pytest.raises(CheckpointError, match="expected JSON with a step from 0 to 1000000000"):
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
    rename, calls = os.replace, []

    def killed(source: Path, target: Path) -> None:
        if len(calls) == renamed:
            raise KeyboardInterrupt
        calls.append(target)
        rename(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        saved.save(2)
    monkeypatch.setattr(os, "replace", rename)
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
