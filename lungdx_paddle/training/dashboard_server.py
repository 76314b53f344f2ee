"""VisualDL's server on runs while they are trained, in a process of its own.

It listens to this machine only, reports nothing home, and ends with this process, however that
ends: it reads its stdin until nobody holds the other end any more.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.errors import OutputError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.progress import log
from lungdx_paddle.training.run import LOG

HOST, PORT = "127.0.0.1", 8040
"""Where it listens; the port is VisualDL's own default, and any free one where it is taken."""

START_S = 60.0
"""Seconds until the server has to answer; it takes 2 on an idle machine, for its imports."""

LOOK_S = 1.0
"""Seconds between two looks at the logs."""

_SERVER = """
import os, sys, threading, traceback
sys.path = [place for place in sys.path if place]  # no module of the working directory
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
try:
    from visualdl.server.app import main
    main()
except Exception:
    traceback.print_exc()
finally:
    sys.stderr.flush()
    os._exit(1)  # a thread of it waits for its own answer for ever
"""


class DashboardServer:
    """A context in which VisualDL shows the logs in some folders, at :attr:`address`.

    The server reads on in a log where it stopped.  A training that starts or is resumed writes its
    log anew, so the server is then started again, at the same address.

    Args:
        folders: output folders of trainings, of one network or a cross-validation; they are made
            if need be.

    Raises:
        OutputError: a folder cannot be made, or the server does not start.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = [writable_folder(folder) for folder in folders]
        self._port = free_port(PORT)
        self._ending = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    @property
    def address(self) -> str:
        """Of its first page."""
        return f"http://{HOST}:{self._port}/app/scalar"

    def wait(self) -> None:
        """Return when the server has ended, which nothing but Ctrl-C or a fault makes it do."""
        while self._watching.is_alive():
            self._watching.join(LOOK_S)  # one without a limit cannot be interrupted everywhere

    def __enter__(self) -> DashboardServer:
        self._logs = self._find_logs()
        self._start()
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._watching.join()
        self._stop()

    def _start(self) -> None:
        place = self._folders[0].parent  # the pages name a run by its path from there
        logs = [os.path.relpath(folder, place) for folder in self._folders]
        words = [sys.executable, "-c", _SERVER, "--logdir", *logs]
        words += ["--host", HOST, "--port", str(self._port), "--disable-telemetry"]
        words += ["--cache-timeout", str(LOOK_S)]  # or it shows what it has read for 20 seconds
        # Ctrl-C is for the training, which ends the server.
        with tempfile.TemporaryFile() as errors:
            self._process = subprocess.Popen(
                words,
                cwd=place,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                self._await_answer()
            except BaseException as error:
                self._stop()
                if not isinstance(error, OSError):
                    raise
                errors.seek(0)
                last = errors.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
                raise OutputError(
                    f"--dashboard, {HOST}:{self._port}",
                    expected="VisualDL's server to start",
                    found=last or str(error),
                    fix="train without --dashboard, and see the log with visualdl --logdir",
                ) from error

    def _await_answer(self) -> None:
        """Wait for the first answer; raise an OSError where there is none."""
        until = time.monotonic() + START_S
        # A proxy, which the environment may name, does not lead to this machine.
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        while True:
            try:
                direct.open(f"http://{HOST}:{self._port}/alive", timeout=1).close()
                return
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    raise
                time.sleep(0.1)

    def _stop(self) -> None:
        self._process.kill()  # it has nothing to save
        self._process.communicate()

    def _find_logs(self) -> dict[Path, int]:
        """Each log, with a mark that changes where it is written anew, but not as it grows."""
        found = {}
        for folder in self._folders:
            for path in (*folder.glob(f"{LOG}/*"), *folder.glob(f"*/{LOG}/*")):
                with contextlib.suppress(OSError):  # it has just been removed
                    found[path] = os.stat(path.parent).st_mtime_ns
        return found

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_S):
            before, self._logs = self._logs, self._find_logs()
            try:
                if self._process.poll() is not None:
                    raise OSError(f"VisualDL has ended with {self._process.returncode}")
                if any(self._logs.get(path) != mark for path, mark in before.items()):
                    self._stop()
                    self._start()
            except (OSError, OutputError) as error:
                log.warning("The dashboard has ended: %s", error)
                return


def free_port(wanted: int) -> int:
    """A port of this machine that nobody listens at: the one that is wanted, or any."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            if os.name == "posix":  # as servers do, for whom a connection just closed is no matter
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise OutputError(HOST, expected="a free port", found="none", fix="train without --dashboard")
