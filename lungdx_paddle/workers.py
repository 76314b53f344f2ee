"""Run a function on many items: in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.connection
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, ProcessPoolExecutor
from pkgutil import resolve_name
from typing import TypeVar

from lungdx_paddle import __version__
from lungdx_paddle.errors import ConfigError, InstallError, LungdxError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import available_cores, quiet_paddle

ANSWER_S = 10  # a scheduler answers in milliseconds
KILLED = "the end of its work", "that the system ended it, for want of memory as a rule"
Item = TypeVar("Item")
Result = TypeVar("Result")


def executor(
    jobs: int | None = None, dask: str | None = None, paths: Sequence[os.PathLike[str]] = ()
) -> contextlib.AbstractContextManager[Executor | None]:
    """Processes or a cluster for :func:`run_all`, to use with ``with``; an error ends their work.

    Args:
        jobs: processes of this machine; None: one a core; 1: this process, without an executor.
        dask: address of a Dask scheduler, whose workers are used in place of processes here.
        paths: what workers on other machines must see at the same place.

    Raises:
        ConfigError: an argument, the scheduler or a worker of it is not as it should be.
        LungdxError: distributed is not installed, a worker was killed, or the scheduler is lost.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError("jobs", "1 process or more", str(jobs), "leave it out for one a core")
    if jobs is not None and dask is not None:
        raise ConfigError("workers", "--jobs or --dask", "both", "leave --jobs out")
    if dask is not None:
        return _cluster(dask, [os.path.realpath(path) for path in paths])
    count = jobs or available_cores()
    return _processes(count) if count > 1 else contextlib.nullcontext()


def run_all(
    pool: Executor | None,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    here: int = 1,
) -> Iterator[Result]:
    """The results of ``function``, in the items' order.

    Args:
        pool: what :func:`executor` gave; None: this process.
        function: of a module, so that a worker finds it.
        items: one argument each.
        here: so many items or fewer are done in this process, since others take 0.6 s to start;
            a cluster, whose workers run already, always gets the work.
    """
    few = len(items) <= here and isinstance(pool, ProcessPoolExecutor)
    return map(function, items) if pool is None or few else pool.map(function, items)


@contextlib.contextmanager
def _processes(count: int) -> Iterator[Executor]:
    context = multiprocessing.get_context("spawn")  # a fork beside Paddle's threads may hang
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ours, ProcessPoolExecutor(count, context, _end_with_parent, (theirs,)) as pool:
        try:
            yield pool
        except BrokenExecutor as error:
            raise LungdxError("a worker process", *KILLED, "run again with fewer jobs") from error
        except BaseException:
            ours.close()  # ends the workers, whatever they are at
            raise


def _end_with_parent(pipe: multiprocessing.connection.Connection) -> None:
    """In a worker: print nothing, leave Ctrl-C to the parent, and end with it."""
    log.propagate = False  # VisualDL, once imported, prints what reaches the root
    quiet_paddle()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=lambda: (pipe.poll(None), os._exit(1)), daemon=True).start()


@contextlib.contextmanager
def _cluster(address: str, paths: Sequence[str]) -> Iterator[Executor]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise InstallError("--dask", "Dask", str(error), install_hint("cluster")) from error
    where, expected = f"--dask {address}", "the address of a scheduler: tcp://10.0.0.1:8786"
    # One of Dask's protocols, and a port; with others it goes on trying in a thread of its own.
    if not re.match(r"((tcp|tls|wss?|ucxx?)://)?(\[[\da-fA-F:]+\]|[^\s/:]+):\d+$", address):
        raise ConfigError("--dask", expected, address, "take the one that dask scheduler prints")
    with contextlib.ExitStack() as stack:
        for logger in map(logging.getLogger, ("distributed", "distributed.client")):
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL)  # tracebacks beside our one line
        try:
            client = stack.enter_context(Client(address, timeout=ANSWER_S, set_as_default=False))
        except (OSError, ValueError) as error:
            fix = "start one with dask scheduler, and its workers with dask worker"
            raise ConfigError(where, "a Dask scheduler that answers there", "none", fix) from error
        if not client.ncores():
            raise ConfigError(where, "a scheduler with workers", "one without", "run dask worker")
        own = f"{__name__}:__version__"
        for worker, found in client.run(resolve_name, own, on_error="return").items():
            if found != __version__:
                expected, fix = f"lungdx_paddle {__version__}", "install that version there"
                raise ConfigError(f"Dask worker {worker}", expected, str(found), fix)
        for path in paths:
            for worker in (w for w, seen in client.run(os.path.exists, path).items() if not seen):
                expected, fix = "the same files at the same paths", "share their folder"
                raise ConfigError(f"Dask worker {worker}", expected, f"no {path}", fix)
        try:
            yield client.get_executor(pure=False)
        except KilledWorker as error:
            raise LungdxError("a worker process", *KILLED, "run again with more memory") from error
        except CancelledError as error:
            found, fix = "that the connection to it was lost", "start it and run again: it goes on"
            raise LungdxError("the Dask scheduler", "its answer", found, fix) from error
