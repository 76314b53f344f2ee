"""Several processes train one network, rank 0 alone writes, and none waits for ever."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import paddle
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.models.network import build_network
from lungdx_paddle.runtime import THREADS, chosen_threads, process_of
from lungdx_paddle.training.parallel.jobs import JobOptions, train_all
from lungdx_paddle.training.parallel.processes import ProcessError, Processes, data_parallel

ROOT = Path(__file__).parent.parent.parent.parent
TRAIN = str(ROOT / "tools" / "train.py")
LOSS, GRADIENT = 1e-4, 1e-5
"""Sums of float32 in another order differ by less than this: over 5 steps, and in the first."""

Start = Callable[..., "subprocess.Popen[str]"]

FIVE_STEPS = """
import sys
import numpy as np
from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.runtime import set_up
from lungdx_paddle.training.parallel.processes import join
from lungdx_paddle.training.step import prepare, training_step

config = load_config(sys.argv[1], sys.argv[3:])
set_up("cpu", config.seed)
processes = join()
train = load_dataset(config.data).subset([*range(0, 40, 5)] * 2)
train.labels["pathology"][9:] = -1
train.labels["malignancy"][8:] = (train.labels["malignancy"][8:] + 1) % 5
state = prepare(config, train, train, processes)
state.order.indices = lambda step: np.arange(16)
change, found = state.optimizer.step, {}

def step():
    for name, weight in state.network.named_parameters():
        if weight.grad is not None:
            found.setdefault(f"gradient {name}", weight.grad.numpy())  # of the first step
    change()

state.optimizer.step = step
found["losses"] = [training_step(state).loss for _ in range(5)]
found |= {name: value.numpy() for name, value in state.network.state_dict().items()}
np.savez(f"{sys.argv[2]}{processes.rank}.npz", **found)
"""
"""Five steps on a batch whose halves have the same images, so the same batch statistics, and
other labels: few of the second half have any."""

SPOILT = """
import sys
from lungdx_paddle.config import load_config
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.training import trainer

real = trainer.training_step

def spoil(state):
    if state.step == 2 and state.processes.rank == 1:
        forward = state.forward
        state.forward = lambda x: {task: y * float("nan") for task, y in forward(x).items()}
    return real(state)

trainer.training_step = spoil
try:
    trainer.train(load_config(sys.argv[1], sys.argv[2:]), "cpu")
except LungdxError as error:
    sys.exit(str(error))
"""
"""A training in which one process's part of a batch gives no number."""


@pytest.fixture
def start(write_crops: Callable[..., Path], tmp_path: Path) -> Start:
    """A function (processes, script and its arguments) that starts it on the tiny config."""
    manifest = write_crops()

    def begin(processes: int, *words: str) -> subprocess.Popen[str]:
        launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
        return subprocess.Popen(
            [
                sys.executable,
                *(launch if processes > 1 else []),
                *words,
                f"data.manifest={manifest}",
            ],
            cwd=tmp_path,
            env={**os.environ, THREADS: "1", "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return begin


def train_words(configs: Path, *overrides: str) -> list[str]:
    config = str(configs / "testing.yaml")
    return [TRAIN, "-c", config, "-o", "output=run", "data.batch_size=15", *overrides]


def finish(started: subprocess.Popen[str]) -> str:
    text, _ = started.communicate(timeout=120)
    assert started.returncode == 0, text
    return text


def rows_of_table(folder: Path) -> int:
    return len((folder / "table2.csv").read_text(encoding="utf-8").splitlines()) - 1


def test_losses_and_gradients_are_those_of_the_whole_batch(
    start: Start, configs: Path, tmp_path: Path
) -> None:
    """Both halves have the same batch statistics here, so one process computes the same."""
    (tmp_path / "steps.py").write_text(FIVE_STEPS)
    words = ["steps.py", str(configs / "testing.yaml")]
    for processes, name in ((1, "one"), (2, "two")):
        finish(start(processes, *words, name, "model.dropout=0.0", "train.learning_rate=0.01"))
    one, first, second = (dict(np.load(tmp_path / f"{n}.npz")) for n in ("one0", "two0", "two1"))
    np.testing.assert_allclose(first["losses"], one["losses"], atol=LOSS)
    gradients = [name for name in one if name.startswith("gradient")]
    assert len(gradients) == 34
    for name in gradients:
        np.testing.assert_allclose(first[name], one[name], atol=GRADIENT, err_msg=name)
    for name, values in first.items():  # the weights among them
        np.testing.assert_array_equal(second[name], values, err_msg=name)


def test_rank_0_alone_logs_and_saves(start: Start, configs: Path, tmp_path: Path) -> None:
    text = finish(start(2, *train_words(configs, "train.steps=4", "train.log_every=2")))
    assert text.count("Test accuracy after step 4") == 1
    other = (tmp_path / "log" / "workerlog.1").read_text(encoding="utf-8")
    assert "accuracy" not in other and "Traceback" not in other
    assert len(list((tmp_path / "run" / "vdl").iterdir())) == 1
    assert rows_of_table(tmp_path / "run") == 2


def test_a_killed_process_ends_the_run(start: Start, configs: Path, tmp_path: Path) -> None:
    started = start(2, *train_words(configs, "train.steps=100000", "train.log_every=5"))
    end = time.monotonic() + 60
    while not ((tmp_path / "run" / "table2.csv").is_file() and rows_of_table(tmp_path / "run") > 1):
        assert time.monotonic() < end and started.poll() is None
        time.sleep(0.2)
    (second,) = (pid for pid in children(started.pid) if environment(pid, "PADDLE_TRAINER_ID=1"))
    os.kill(second, 9)
    text, _ = started.communicate(timeout=60)
    assert started.returncode != 0
    assert "rank 1" in text or "log/workerlog" in text


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(pid: int, entry: str) -> bool:
    return entry.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def test_a_mistake_ends_all_with_its_line(start: Start, configs: Path) -> None:
    started = start(2, *train_words(configs, "data.min_readers=9"))
    text, _ = started.communicate(timeout=60)
    assert started.returncode == 2
    assert "expected slices that 9 or more readers outlined" in text
    assert "Traceback" not in text


def test_a_part_of_a_batch_that_gives_no_number_stops_all_with_the_whole_batch(
    start: Start, configs: Path, tmp_path: Path
) -> None:
    (tmp_path / "spoilt.py").write_text(SPOILT)
    words = ["spoilt.py", str(configs / "testing.yaml"), f"output={tmp_path / 'run'}"]
    started = start(2, *words, "data.batch_size=15", "train.log_every=1")
    text, _ = started.communicate(timeout=60)
    # The launcher's code is 1, or that of SIGTERM, with which it ends who is slower to end.
    assert started.returncode != 0 and "Traceback" not in text
    logs = [(tmp_path / "log" / f"workerlog.{k}").read_text(encoding="utf-8") for k in (0, 1)]
    for said in logs:
        assert "step 2: expected a loss that is a number, found nan" in said
        assert "and 12 more" in said
    rows = (tmp_path / "run" / "not_finite" / "batch.csv").read_text().splitlines()
    assert sum(row.startswith("2,") for row in rows) == 15


def test_what_paddle_says_of_a_lost_process_is_one_line() -> None:
    with pytest.raises(ProcessError, match="process 1 of 2: .* found .* closed by peer; see why"):
        with Processes(1, 2).connected():
            raise RuntimeError("(External)\n  Connection closed by peer")
    with pytest.raises(RuntimeError, match="out of memory"):
        with Processes().connected():
            raise RuntimeError("out of memory")


def test_several_trainings_at_once_want_one_process_each(
    monkeypatch: pytest.MonkeyPatch, configs: Path
) -> None:
    monkeypatch.setenv("PADDLE_TRAINER_ID", "0")
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    config = load_config(configs / "testing.yaml")
    with pytest.raises(ConfigError, match="without paddle.distributed.launch"):
        train_all([config], JobOptions(jobs=1, device="cpu"))


def test_the_processes_of_a_machine_share_its_cores() -> None:
    environment = {"PADDLE_LOCAL_SIZE": "2", "PADDLE_TRAINER_ID": "1", "PADDLE_TRAINERS_NUM": "4"}
    assert chosen_threads(environment) == max(1, chosen_threads({}) // 2)
    assert process_of(environment) == (1, 4) and process_of({}) == (0, 1)


@pytest.mark.parametrize("items", [1, 7, 128])
def test_the_parts_make_the_batch(items: int) -> None:
    parts = [np.arange(items)[Processes(rank, 3).part(items)] for rank in range(3)]
    assert np.concatenate(parts).tolist() == list(range(items))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_too_many_processes_for_a_batch_are_refused(configs: Path) -> None:
    """Batch normalisation needs two images in each."""
    network = build_network(load_config(configs / "testing.yaml"))
    with pytest.raises(ConfigError, match="two images or more for each of 3 processes"):
        data_parallel(network, Processes(0, 3), 5)


def test_on_a_gpu_synchronised_batch_norm_keeps_weights_and_names(configs: Path) -> None:
    network = build_network(load_config(configs / "testing.yaml"))
    before = {name: value.numpy() for name, value in network.state_dict().items()}
    with patch("paddle.device.get_device", return_value="gpu:0"), patch("paddle.DataParallel"):
        data_parallel(network, Processes(0, 2), 16)
    for tower in network.towers.values():
        assert isinstance(tower.bn1, paddle.nn.SyncBatchNorm)
    after = network.state_dict()
    assert list(after) == list(before)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name].numpy(), values)


def test_one_process_trains_the_network_itself(configs: Path) -> None:
    network = build_network(load_config(configs / "testing.yaml"))
    assert data_parallel(network, Processes(), 16) is network
