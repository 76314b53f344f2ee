"""Run a function on many items: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from lungdx_paddle import __version__
from lungdx_paddle.errors import ConfigError, InstallError, LungdxError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import available_cores, quiet_paddle

ANSWER_S = 10
"""A scheduler answers in milliseconds; what takes longer is taken not to be there."""

ADDRESS = re.compile(r"^((tcp|tls|ws|wss|ucx|ucxx)://)?(\[[0-9A-Fa-f:]+\]|[^\s/:]+):\d+$")
"""Protocols of Dask's own, and a port."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def executor(
    jobs: int | None = None, dask: str | None = None, paths: Sequence[Path] = ()
) -> contextlib.AbstractContextManager[Executor | None]:
    """Processes or a cluster for :func:`run_all`, to use with ``with``; an error ends their work.

    Args:
        jobs: processes of this machine; None: one a core.  One job is done by this process
            itself, which has no executor: None.
        dask: address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers are
            used in place of processes here.
        paths: what workers on other machines must see at the same place.

    Raises:
        ConfigError: no process, processes as well as a cluster, no scheduler at that address
            or one without workers, workers of another version or that do not see ``paths``.
        InstallError: the package distributed is not installed.
        LungdxError: a worker was killed, or the connection to the scheduler was lost.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(
            "jobs", expected="1 process or more", found=str(jobs), fix="leave it out for one a core"
        )
    if jobs is not None and dask is not None:
        fix = "leave --jobs out: each worker of the cluster has its own number"
        raise ConfigError("workers", expected="--jobs or --dask", found="both", fix=fix)
    if dask is not None:
        return _cluster(dask, paths)
    count = jobs or available_cores()
    return _processes(count) if count > 1 else contextlib.nullcontext()


def run_all(
    pool: Executor | None, function: Callable[[Item], Result], items: Sequence[Item]
) -> Iterator[Result]:
    """Run ``function`` on every item; the results come in the items' order.

    Args:
        pool: of :func:`executor`, or any other; None: this process.
        function: of a module, so that another process can import it; what it raises is raised.
        items: what it is given, one at a time.
    """
    one_here = len(items) == 1 and isinstance(pool, ProcessPoolExecutor)  # not worth its start
    return map(function, items) if pool is None or one_here else pool.map(function, items)


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Executor]:
    # Not forked: a fork of a process with threads, such as Paddle's, may hang.
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(count, context, _end_with_parent, (theirs,))
    try:
        yield pool
    except BrokenProcessPool as error:
        raise _killed("run again with fewer jobs") from error
    except BaseException:
        ours.close()  # ends the workers, whatever they are at
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ours.close()
        theirs.close()


def _end_with_parent(pipe: Connection) -> None:
    """In a worker: print nothing, and end when the parent closes the pipe or is no more."""
    log.propagate = False  # VisualDL, once imported, prints what reaches the root
    quiet_paddle()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's affair
    threading.Thread(target=lambda: (pipe.poll(None), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def _cluster(address: str, paths: Sequence[Path]) -> Iterator[Executor]:
    where = f"--dask {address}"
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise InstallError(
            where, expected="Dask", found=str(error), fix=install_hint("cluster")
        ) from error
    if not ADDRESS.match(address):  # Dask would go on trying in its own thread
        expected = "the address of a scheduler, such as tcp://10.0.0.1:8786"
        fix = "take the one that dask scheduler prints"
        raise ConfigError("--dask", expected=expected, found=address, fix=fix)
    with contextlib.ExitStack() as stack:
        # Dask logs its troubles with tracebacks; what the user can act on is said in a line.
        for logger in map(logging.getLogger, ("distributed", "distributed.client")):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER_S, set_as_default=False))
        except (OSError, ValueError) as error:
            expected, found = (
                "a Dask scheduler that answers there",
                f"none ({type(error).__name__})",
            )
            fix = "start one with dask scheduler, and its workers with dask worker"
            raise ConfigError(where, expected=expected, found=found, fix=fix) from error
        _check_workers(where, client, [str(Path(path).resolve()) for path in paths])
        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            raise _killed("run again with more memory for each worker") from error
        except CancelledError as error:
            found = "that the connection to it was lost"
            fix = "start it and its workers, and run again: it goes on from here"
            raise LungdxError(
                "the Dask scheduler", expected="its answer", found=found, fix=fix
            ) from error


def _check_workers(where: str, client: Any, paths: Sequence[str]) -> None:
    if not client.ncores():
        expected, fix = "a scheduler with workers", "start some with dask worker"
        raise ConfigError(where, expected=expected, found="one without", fix=fix)
    for worker, seen in client.run(_look, paths, on_error="return").items():
        expected = f"lungdx_paddle {__version__}"
        match seen:
            case Exception():
                found, fix = f"{type(seen).__name__}: {seen}", "install the same packages there"
            case [version, *_] if version != __version__:
                found, fix = version, "install the same version everywhere"
            case [_, unseen, *_]:
                expected, found = "the same files at the same paths", f"no {unseen}"
                fix = "use a folder that all machines share"
            case _:
                continue
        raise ConfigError(f"Dask worker {worker}", expected=expected, found=found, fix=fix)


def _look(paths: Sequence[str]) -> list[str]:
    """On a worker: the version of this package there, then the paths it does not see."""
    return [__version__, *(path for path in paths if not Path(path).exists())]


def _killed(fix: str) -> LungdxError:
    expected, found = (
        "the end of its work",
        "that the system ended it, for want of memory as a rule",
    )
    fix = f"{fix}: it goes on from here"
    return LungdxError("a worker process", expected=expected, found=found, fix=fix)
