"""Several processes train what one would, the first alone writes, and none waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import paddle
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.models.network import build_network
from lungdx_paddle.runtime import THREADS, prepare_environment, process_of
from lungdx_paddle.training.checkpoint import read_arrays
from lungdx_paddle.training.parallel.jobs import How, train_each
from lungdx_paddle.training.parallel.processes import (
    JointDropout,
    JointNorm,
    Processes,
    share_batches,
)
from lungdx_paddle.workers import Workers

ROOT = Path(__file__).parent.parent.parent.parent
TRAIN = str(ROOT / "tools" / "train.py")
LOSS = 1e-4
"""Sums of float32 in another order drift apart over 50 steps, by less than this."""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(write_crops: Callable[..., Path], tmp_path: Path) -> Start:
    """A function (processes, folder, overrides) that starts a training of the tiny config."""
    manifest = write_crops()

    def begin(processes: int, folder: str, *overrides: str) -> subprocess.Popen[str]:
        launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
        own = [f"output={folder}", f"data.manifest={manifest}", "data.batch_size=15", *overrides]
        config = str(ROOT / "configs" / "testing.yaml")
        return subprocess.Popen(
            [sys.executable, *(launch if processes > 1 else []), TRAIN, "-c", config, "-o", *own],
            cwd=tmp_path,
            env={**os.environ, THREADS: "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return begin


def finish(started: subprocess.Popen[str]) -> str:
    said, _ = started.communicate(timeout=120)
    assert started.returncode == 0, said
    return said


def losses(folder: Path) -> list[float]:
    lines = (folder / "table2.csv").read_text(encoding="utf-8").splitlines()
    place = lines[0].split(",").index("loss_total_value")
    return [float(line.split(",")[place]) for line in lines[1:]]


def weights(folder: Path) -> dict[str, np.ndarray]:
    return read_arrays(folder / "latest.pdparams")


def test_two_processes_learn_what_one_does(start: Start, tmp_path: Path) -> None:
    """With dropout, a cosine, augmentation and parts of unequal size (8 and 7 of 15)."""
    steps = ["train.steps=50", "train.log_every=1", "train.schedule=cosine", "augment.mirror=0.5"]
    finish(start(1, "one", *steps))
    said = finish(start(2, "two", *steps))
    assert "2 processes, each with its part" in said
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 50
    np.testing.assert_allclose(two, one, atol=LOSS)
    found, expected = weights(tmp_path / "two"), weights(tmp_path / "one")
    assert list(found) == list(expected)
    for name, values in expected.items():  # running statistics of BN are among them
        np.testing.assert_allclose(found[name], values, rtol=1e-2, atol=1e-3, err_msg=name)
    numbers = [json.loads((tmp_path / run / "metrics.json").read_text()) for run in ("one", "two")]
    assert numbers[0]["test"]["count"] == numbers[1]["test"]["count"]


def test_the_first_alone_speaks_and_writes(start: Start, tmp_path: Path) -> None:
    said = finish(start(2, "run", "train.steps=4", "train.log_every=2"))
    assert said.count("Test accuracy after step 4") == 1
    other = (tmp_path / "log" / "workerlog.1").read_text(encoding="utf-8")
    assert "accuracy" not in other and "Traceback" not in other
    assert len(list((tmp_path / "run" / "vdl").iterdir())) == 1
    assert len(losses(tmp_path / "run")) == 2


def test_a_killed_process_ends_the_run(start: Start, tmp_path: Path) -> None:
    started = start(2, "run", "train.steps=100000", "train.log_every=5")
    table = tmp_path / "run" / "table2.csv"
    wait_until(lambda: table.is_file() and len(losses(tmp_path / "run")) > 1)
    (second,) = (pid for pid in children(started.pid) if environment(pid, "PADDLE_TRAINER_ID=1"))
    os.kill(second, 9)
    said, _ = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "rank 1" in said or "log/workerlog" in said
    assert losses(tmp_path / "run")[1] > 0  # what was written is whole


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.2)


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(pid: int, entry: str) -> bool:
    return entry.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_mistake_ends_all_with_its_line(start: Start) -> None:
    started = start(2, "run", "data.min_readers=9")
    said, _ = started.communicate(timeout=60)
    assert started.returncode == 2
    assert "expected slices that 9 or more readers outlined" in said
    assert "Traceback" not in said


def test_several_trainings_at_once_want_one_process_each(
    monkeypatch: pytest.MonkeyPatch, configs: Path
) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    config = load_config(configs / "testing.yaml")
    with pytest.raises(ConfigError, match="without paddle.distributed.launch"):
        train_each([config], How(Workers(1), "cpu"), lambda line: None)


def test_the_processes_of_a_machine_share_its_cores() -> None:
    environment = {"PADDLE_LOCAL_SIZE": "2", "PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "4"}
    prepare_environment(environment, vendor="GenuineIntel")
    alone: dict[str, str] = {}
    prepare_environment(alone, vendor="GenuineIntel")
    assert int(environment[THREADS]) == max(1, int(alone[THREADS]) // 2)
    assert process_of(environment) == (1, 4) and process_of({}) == (0, 1)


@pytest.mark.parametrize("items", [1, 7, 128])
def test_the_parts_make_the_batch(items: int) -> None:
    parts = [np.arange(items)[Processes(rank, 3).part(items)] for rank in range(3)]
    assert np.concatenate(parts).tolist() == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_more_processes_than_images_are_refused(configs: Path) -> None:
    network = build_network(load_config(configs / "testing.yaml"))
    with pytest.raises(ConfigError, match="an image or more for each of 3 processes"):
        share_batches(network, Processes(0, 3), 2)


def test_alone_the_joint_layers_are_paddles_own() -> None:
    """Outputs, gradients and running statistics of batch normalisation; dropout's draw."""
    paddle.seed(0)
    x = paddle.randn([6, 3, 4, 4]) * 2.0 + 1.0
    given = paddle.randn(x.shape)
    norms = [paddle.nn.BatchNorm2D(3) for _ in range(2)]
    for norm in norms:
        norm.weight.set_value(paddle.to_tensor([0.5, 1.0, 2.0]))
        norm.bias.set_value(paddle.to_tensor([0.1, 0.0, -0.3]))
    found = []
    for layer, norm in ((norms[0], norms[0]), (JointNorm(norms[1], Processes()), norms[1])):
        inputs = x.clone().detach()
        inputs.stop_gradient = False
        y = layer(inputs)
        (y * given).sum().backward()
        layer.eval()
        every = (y, inputs.grad, norm.weight.grad, norm.bias.grad, norm._mean, norm._variance)
        found.append([value.numpy() for value in (*every, layer(x))])
    for own, paddles in zip(*found):
        np.testing.assert_allclose(own, paddles, rtol=1e-4, atol=1e-5)

    features = paddle.randn([5, 7])
    paddle.seed(1)
    expected = paddle.nn.functional.dropout(features, 0.4)
    paddle.seed(1)
    found = JointDropout(0.4, Processes(), 5)(features)
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-6)
