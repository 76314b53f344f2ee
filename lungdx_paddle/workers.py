"""Who does the work: the processes of this machine (joblib), or a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed

from lungdx_paddle import __version__
from lungdx_paddle.errors import ConfigError, InstallError, LungdxError

ANSWER_S = 10
"""A scheduler answers in milliseconds; what takes longer is taken not to be there."""

ADDRESS = re.compile(r"^((tcp|tls|ws|wss|ucx|ucxx)://)?(\[[0-9A-Fa-f:]+\]|[^\s/:]+):\d+$")
"""Protocols of Dask's own, and a port."""

AHEAD = 4
"""Items that the cluster holds for each of its cores: enough that none waits for the next, few
enough that the scheduler's memory does not grow with the collection."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Workers:
    """Where a function is run on many items."""

    processes: int | None = None
    """Processes of this machine; None: one a core."""
    dask: str | None = None
    """Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers are used in
    place of this machine's processes.  They must see the same files at the same paths."""

    def check(self, paths: Sequence[Path]) -> None:
        """See that there are workers, and that they can do the work.

        Args:
            paths: what the workers will read and write.

        Raises:
            ConfigError: no process, processes as well as a cluster, no scheduler at that
                address, a scheduler without workers, or workers that lack a path or have
                another version of this package.
            InstallError: Dask is asked for and not installed.
        """
        if self.processes is not None and self.processes < 1:
            raise ConfigError(
                "jobs",
                expected="1 process or more",
                found=str(self.processes),
                fix="leave it out for one a core",
            )
        if self.dask is None:
            return
        if self.processes is not None:
            raise ConfigError(
                "who does the work",
                expected="--jobs or --dask",
                found="both",
                fix="leave --jobs out: each worker of the cluster has its own number",
            )
        with _client(self.dask) as client:
            _check_cluster(self.dask, client, [str(Path(path).resolve()) for path in paths])

    def map(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Run ``function`` on every item; the results come in the items' order.

        Args:
            function: of a module, so that another process can import it.
            items: what it is given, one at a time.

        Raises:
            LungdxError: a worker was ended from outside.  What ``function`` raises is raised.
        """
        if not items:
            return
        if self.dask is None:
            yield from _map_here(function, items, self.processes)
        else:
            with _client(self.dask) as client:
                yield from _map_there(function, items, client)


HERE = Workers()
"""A process for each core of this machine."""

ALONE = Workers(1)
"""This process."""


def _map_here(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int | None
) -> Iterator[Result]:
    parallel = Parallel(
        min(processes or cpu_count(), len(items)), batch_size=1, return_as="generator"
    )
    try:
        yield from parallel(delayed(function)(item) for item in items)
    except BrokenProcessPool as error:
        raise _lost("run again with fewer jobs") from error


def _map_there(
    function: Callable[[Item], Result], items: Sequence[Item], client: Any
) -> Iterator[Result]:
    # Not by joblib's own Dask backend: where a job has cost its workers, it waits for ever
    # (joblib 1.6: the job's future is set, and the callback that joblib waits for not called).
    from distributed import KilledWorker

    at_most = AHEAD * sum(client.ncores().values())
    waiting: deque[Any] = deque()
    try:
        for item in items:
            waiting.append(client.submit(function, item, pure=False))
            if len(waiting) >= at_most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except KilledWorker as error:
        raise _lost("run again with more memory for each worker") from error
    except CancelledError as error:
        raise LungdxError(
            "the Dask scheduler",
            expected="its answer",
            found="that the connection to it was lost",
            fix="start it and its workers, and run again: it goes on from here",
        ) from error


def _lost(fix: str) -> LungdxError:
    return LungdxError(
        "a worker process",
        expected="the end of its work",
        found="that the system ended it, for want of memory as a rule",
        fix=f"{fix}: it goes on from here",
    )


@contextlib.contextmanager
def _client(address: str) -> Iterator[Any]:
    """Connect to a scheduler.

    Raises:
        InstallError: Dask is not installed.
        ConfigError: nothing answers at that address.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise InstallError(
            f"--dask {address}",
            expected="the extra cluster",
            found="no package distributed",
            fix="pip install 'lungdx-paddle[cluster]'",
        ) from error
    if not ADDRESS.match(address):  # Dask would go on trying in its own thread
        raise ConfigError(
            "--dask",
            expected="the address of a scheduler, such as tcp://10.0.0.1:8786",
            found=address,
            fix="take the one that dask scheduler prints",
        )
    try:
        with _quiet_dask():
            client = Client(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--dask {address}",
            expected="a Dask scheduler that answers there",
            found=f"none ({type(error).__name__})",
            fix="start one with dask scheduler, and its workers with dask worker",
        ) from error
    with _quiet_dask(), client:
        yield client


@contextlib.contextmanager
def _quiet_dask() -> Iterator[None]:
    """Dask logs its troubles with tracebacks; what the user can act on, we say in a line."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _check_cluster(address: str, client: Any, paths: Sequence[str]) -> None:
    if not client.ncores():
        raise ConfigError(
            f"--dask {address}",
            expected="a scheduler with workers",
            found="one without",
            fix=f"start some with dask worker {address}",
        )
    for worker, found in client.run(_look, paths, on_error="return").items():
        _check_worker(f"Dask worker {worker}", found)


def _look(paths: Sequence[str]) -> list[str]:
    """On a worker: the version of this package there, then the paths it does not see."""
    return [__version__, *(path for path in paths if not Path(path).exists())]


def _check_worker(worker: str, found: Any) -> None:
    if isinstance(found, Exception):
        raise ConfigError(
            worker,
            expected=f"lungdx_paddle {__version__}",
            found=f"{type(found).__name__}: {found}",
            fix="install the same packages in the workers' environment",
        )
    version, *unseen = found
    if version != __version__:
        raise ConfigError(
            worker,
            expected=f"lungdx_paddle {__version__}",
            found=version,
            fix="install the same version everywhere",
        )
    if unseen:
        raise ConfigError(
            worker,
            expected="the same files at the same paths",
            found=f"no {unseen[0]}",
            fix="use a folder that all machines share",
        )
