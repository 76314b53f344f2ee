"""CTs that clients have open: each a private folder under a token that cannot be guessed."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException

from lungdx_paddle.errors import OutputError
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series
from lungdx_paddle.locks import alone_in
from lungdx_paddle.serving.web.limits import Limits

PREFIX = "lungdx-serve-"
"""How a server's folder begins; behind it stand the user and what makes it unique."""

TOKEN_BYTES = 32
"""Of a token; 2^256 cannot be guessed."""


BEGINNING_S = 10.0
"""A folder that was made so lately may be of a server that has not locked it yet."""


@dataclass(eq=False)
class Scan:
    """A CT that a client has open."""

    folder: Path
    series: list[Series] = field(default_factory=list)
    """Axial ones first, by number of slices."""
    warnings: tuple[str, ...] = ()
    """About the upload as a whole."""
    findings: dict[int, Finding] = field(default_factory=dict)
    """By number, from 1."""
    used: float = field(default_factory=time.monotonic)
    """When somebody last looked at it."""
    _numbers: int = field(default=0, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def next_number(self, limits: Limits) -> int:
        """A number that no nodule of it has had.

        Raises:
            HTTPException: there are too many nodules (409).
        """
        with self._lock:
            if len(self.findings) >= limits.findings:
                raise HTTPException(
                    409, f"expected up to {limits.findings} nodules, found more; remove some"
                )
            self._numbers += 1
            return self._numbers


class Scans:
    """The CTs that are open, in one folder that is gone when the server ends.

    Args:
        limits: of their number and time.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._scans: dict[str, Scan] = {}
        self._lock = threading.Lock()
        self._kept = contextlib.ExitStack()
        remove_abandoned()
        self.folder = Path(tempfile.mkdtemp(prefix=_prefix()))  # of mode 0700
        self._kept.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._kept.enter_context(alone_in(self.folder))
        atexit.register(self.close_all)  # where the server fails before it can close

    def __len__(self) -> int:
        return len(self._scans)

    def open(self) -> tuple[str, Scan]:
        """A new CT, still without files, and its token.

        Raises:
            HTTPException: too many are open (503).
        """
        with self._lock:
            if len(self._scans) >= self._limits.scans:
                raise HTTPException(
                    503,
                    f"expected up to {self._limits.scans} CTs at once, found more; try later",
                    {"retry-after": "60"},
                )
            token = secrets.token_urlsafe(TOKEN_BYTES)
            self._scans[token] = scan = Scan(Path(tempfile.mkdtemp(dir=self.folder)))
        return token, scan

    def get(self, token: str) -> Scan:
        """A CT that is open, used from now on.

        Raises:
            HTTPException: there is none (404).
        """
        scan = self._scans.get(token)
        if scan is None:
            raise HTTPException(
                404, "expected a CT that is open, found none: it was closed; send it again"
            )
        scan.used = time.monotonic()
        return scan

    def close(self, token: str) -> None:
        """Remove a CT and its files; none of that token is none to remove."""
        with self._lock:
            scan = self._scans.pop(token, None)
        if scan is not None:
            shutil.rmtree(scan.folder, ignore_errors=True)

    def close_idle(self) -> None:
        """Remove what nobody has looked at for long."""
        until = time.monotonic() - self._limits.idle_s
        for token, scan in list(self._scans.items()):
            if scan.used < until:
                self.close(token)

    def close_all(self) -> None:
        """Remove everything, the folder of the server too."""
        self._scans.clear()
        self._kept.close()
        atexit.unregister(self.close_all)

    @contextlib.contextmanager
    def passing(self) -> Iterator[Path]:
        """A folder for one request, which is gone after it."""
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def without_paths(text: str, folder: Path) -> str:
    """A message for a client: files by their number in the upload, and no path of the server."""
    text = text.replace(f"{folder}/file-", "file-").replace(str(folder), "the upload")
    return re.sub(r"file-0*(\d+)\.(?:dcm|xml|picture)", r"file \1", text)


def remove_abandoned() -> None:
    """Remove the folders of servers of this user that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_prefix()}*"):
        with contextlib.suppress(OutputError, OSError):
            made_s_ago = time.time() - folder.lstat().st_mtime
            if folder.is_symlink() or made_s_ago < BEGINNING_S:
                continue
            with alone_in(folder):  # refused where a server lives
                shutil.rmtree(folder, ignore_errors=True)


def _prefix() -> str:
    return f"{PREFIX}{os.getuid() if hasattr(os, 'getuid') else 0}-"
