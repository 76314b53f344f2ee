"""The same work by this machine's processes and by a Dask cluster of two workers."""

from __future__ import annotations

import logging
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

from lungdx_paddle import workers as module
from lungdx_paddle.errors import ConfigError, InstallError, LidcError, LungdxError
from lungdx_paddle.phantom import write_phantom
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.window import parse_window
from lungdx_paddle.workers import executor, run_all

DASK = [sys.executable, "-m", "dask"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen([*DASK, *words], cwd=folder, stdout=log, stderr=log)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler without workers."""
    folder, port = tmp_path_factory.mktemp("scheduler"), free_port()
    words = ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    process = start(folder, *words)
    yield f"tcp://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture(scope="module")
def cluster(scheduler: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with two workers, each a process of its own."""
    folder = tmp_path_factory.mktemp("workers")
    words = ("worker", scheduler, "--nthreads", "1", "--no-dashboard", "--nworkers", "2")
    process = start(folder, *words)
    with Client(scheduler, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    yield scheduler
    process.terminate()
    process.wait(20)


def opened(*jobs: int, **where: Any) -> None:
    with executor(*jobs, **where):
        pass


def files(folder: Path) -> list[tuple[str, bytes]]:
    return [
        (path.relative_to(folder).as_posix(), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    ]


def test_a_scheduler_without_workers_is_one_clear_line(scheduler: str) -> None:
    with Client(scheduler, timeout=60, set_as_default=False):
        pass  # it is up
    with pytest.raises(ConfigError, match="expected a scheduler with workers, found one without"):
        opened(dask=scheduler)


def test_a_cluster_writes_the_same_bytes(
    cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_phantom(tmp_path / "lidc", patients=3, jobs=1)
    monkeypatch.chdir(tmp_path)  # relative paths mean the same to workers elsewhere
    with executor(dask=cluster, paths=[Path("lidc"), Path("lidc", "..")]) as pool:
        preprocess(Path("lidc"), Path("there"), pool=pool)
    preprocess(Path("lidc"), Path("here"))
    assert files(tmp_path / "there") == files(tmp_path / "here")
    assert len(files(tmp_path / "here")) > 50


@pytest.fixture(params=["this process", "two processes", "a cluster"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor | None]:
    there = request.getfixturevalue("cluster") if request.param == "a cluster" else None
    jobs = {"this process": 1, "two processes": 2}.get(request.param)
    with executor(jobs, there) as opened:
        yield opened


def test_results_come_in_the_order_of_the_items(pool: Executor | None) -> None:
    assert list(run_all(pool, math.sqrt, range(30))) == [math.sqrt(n) for n in range(30)]
    assert list(run_all(pool, math.sqrt, [])) == []


def test_what_the_function_raises_is_raised(pool: Executor | None) -> None:
    with pytest.raises(LidcError, match="found 'wide'; use 20,2040"):
        list(run_all(pool, parse_window, ["lung", "wide", "20,2040"]))


def test_any_other_executor_will_do() -> None:
    with ThreadPoolExecutor(2) as threads:
        assert list(run_all(threads, math.sqrt, [4, 9])) == [2, 3]


def test_few_items_are_not_worth_another_process() -> None:
    seen: list[int] = []
    with executor(2) as pool:
        list(run_all(pool, seen.append, [0]))
        assert seen == [0]
        list(run_all(pool, seen.append, [1, 2], here=2))
        assert seen == [0, 1, 2]
        list(run_all(pool, seen.append, [3, 4]))  # a copy in another process
        list(run_all(pool, seen.append, [5, 6, 7], here=2))
        assert seen == [0, 1, 2]


A_LONG_TIME_S = 120.0


def test_an_error_ends_the_processes_at_once() -> None:
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt), executor(2) as pool:
        results = run_all(pool, time.sleep, [0, A_LONG_TIME_S, A_LONG_TIME_S])
        next(results)
        raise KeyboardInterrupt
    assert time.monotonic() - before < A_LONG_TIME_S


WAIT_WITH_TWO_PROCESSES = f"""
import multiprocessing, time
from lungdx_paddle.workers import executor, run_all
with executor(2) as pool:
    results = run_all(pool, time.sleep, [0.1, 0.1, {A_LONG_TIME_S}, {A_LONG_TIME_S}])
    next(results), next(results)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    list(results)
"""


def test_processes_end_with_a_parent_that_is_killed() -> None:
    command = [sys.executable, "-c", WAIT_WITH_TWO_PROCESSES]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        children = [int(word) for word in parent.stdout.readline().split()]
        parent.kill()
    assert len(children) == 2
    deadline = time.monotonic() + A_LONG_TIME_S / 2
    while any(map(is_running, children)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # ended, and nobody has looked


def test_a_process_that_the_system_ends_is_one_clear_line() -> None:
    with pytest.raises(LungdxError, match="run again with fewer jobs"), executor(2) as pool:
        list(run_all(pool, os._exit, [1, 1]))


def test_a_job_that_costs_its_workers_ends_the_run(
    cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "distributed")
    ended = pytest.raises(LungdxError, match="that the system ended it.*more memory")
    with ended, executor(dask=cluster) as pool:
        list(run_all(pool, os._exit, [1]))
    with Client(cluster, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)  # their nannies start them anew


def test_a_scheduler_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    words = ("--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    scheduler = start(tmp_path, "scheduler", *words)
    with Client(address, timeout=60, set_as_default=False) as client:
        worker = start(tmp_path, "worker", address, "--nthreads", "1", "--no-dashboard")
        client.wait_for_workers(1, timeout=60)
    lost = pytest.raises(LungdxError, match="the connection to it was lost; start it")
    with lost, executor(dask=address) as pool:
        results = run_all(pool, time.sleep, [0.1] * 100)
        next(results)
        scheduler.kill()
        list(results)
    worker.kill()
    for process in (scheduler, worker):
        process.wait(20)


def test_a_worker_that_does_not_see_the_files_is_named(cluster: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Dask worker tcp://.*found no .*elsewhere"):
        opened(dask=cluster, paths=[tmp_path, tmp_path / "elsewhere"])


def test_a_worker_with_another_version_is_named(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "__version__", "99.0")
    with pytest.raises(ConfigError, match=r"expected lungdx_paddle 99.0, found \d"):
        opened(dask=cluster)


def test_where_nothing_listens_it_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ANSWER_S", 1)
    with pytest.raises(ConfigError, match="expected a Dask scheduler that answers there"):
        opened(dask=f"tcp://127.0.0.1:{free_port()}")


@pytest.mark.parametrize("address", ["", "scheduler", "http://10.0.0.1:8786", "tcp://10.0.0.1"])
def test_what_is_no_address_is_one_clear_line(address: str) -> None:
    with pytest.raises(ConfigError, match="expected the address of a scheduler"):
        opened(dask=address)


def test_without_dask_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InstallError, match="expected Dask, .* pip install distributed"):
        opened(dask="tcp://127.0.0.1:8786")


def test_processes_and_a_cluster_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="expected --jobs or --dask"):
        opened(2, dask="tcp://127.0.0.1:8786")


def test_fewer_than_one_process_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected 1 process or more, found 0"):
        opened(0)
