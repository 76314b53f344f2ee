"""A tower in each of two threads learns what both in turn do, to the last bit."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from safetensors.numpy import load_file

from lungdx_paddle.models.network import build_network
from lungdx_paddle.runtime import THREADS
from lungdx_paddle.settings import STAGES, Config
from lungdx_paddle.training.checkpoint import OPTIMIZER, WEIGHTS
from lungdx_paddle.training.parallel.processes import Processes
from lungdx_paddle.training.parallel.threads import Threads, share_towers, uninterrupted
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]


@pytest.mark.parametrize(
    "sites", [(), ("pool1", "pool2", "fc"), STAGES], ids=["single", "partial", "soft"]
)
def test_threads_change_no_bit(
    make_config: Make, sites: tuple, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: dict[str, dict[str, np.ndarray]] = {}
    for cores in ("1", "2"):
        monkeypatch.setenv(THREADS, cores)
        config = make_config(cores, f"sharing.sites=[{', '.join(sites)}]")
        train(config, "cpu")
        folder = config.output_folder
        left[cores] = load_file(folder / WEIGHTS) | load_file(folder / OPTIMIZER)
    assert left["1"].keys() == left["2"].keys()
    for name, weight in left["1"].items():
        np.testing.assert_array_equal(weight, left["2"][name], err_msg=name)


@pytest.mark.parametrize("before, after", [("2", "1"), ("1", "2")])
def test_a_run_is_resumed_with_another_number_of_threads(
    make_config: Make, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = make_config("whole"), make_config("broken", "train.steps=10")
    monkeypatch.setenv(THREADS, before)
    train(whole, "cpu")
    train(broken, "cpu")
    monkeypatch.setenv(THREADS, after)
    train(make_config("broken"), "cpu", resume=True)
    tables = [(run.output_folder / "table2.csv").read_text() for run in (whole, broken)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize(
    ("overrides", "cores", "processes", "compiled", "threads"),
    [
        ((), "2", 1, False, 2),
        ((), "8", 1, False, 2),
        ((), "1", 1, False, 1),
        ((), "2", 2, False, 1),
        ((), "2", 1, True, 1),
        (("sharing.sites=[trunk]",), "2", 1, False, 1),
    ],
)
def test_threads_are_used_where_they_help(
    make_config: Make,
    overrides: tuple,
    cores: str,
    processes: int,
    compiled: bool,
    threads: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(THREADS, cores)
    network = build_network(make_config("run", *overrides))
    found = share_towers(network, Processes(0, processes), compiled)
    assert found.count == threads
    assert ("run_towers" in vars(network)) == (threads > 1)


def test_an_error_in_a_thread_is_the_trainings() -> None:
    def fail(number: int) -> None:
        raise ValueError(f"tower {number}")

    with pytest.raises(ValueError, match="tower 0"):
        Threads(2).map(fail, [0, 1])


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Ctrl-C as in a terminal: what a shell starts in the background ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_waits_for_the_end_of_a_backward_pass(ctrl_c: None) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt):
        with uninterrupted():
            signal.raise_signal(signal.SIGINT)
            done.append("backward")
        done.append("next step")
    assert done == ["backward"]
