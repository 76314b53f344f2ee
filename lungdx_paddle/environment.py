"""The machine and the versions behind a result: the paper's Table 1, recorded for every run."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

import lungdx_paddle
from lungdx_paddle.errors import CheckpointError, short_line
from lungdx_paddle.files import UnreadableError, read_json, write_text
from lungdx_paddle.runtime import available_cores, chosen_threads, cpu_field

PAPER = {"device": "NVIDIA Tesla V100, CUDA 11", "paddle": "1.8"}
"""What the paper's Table 1 gives; it is silent on the rest."""


@dataclass(frozen=True)
class Environment:
    """Hardware, software and date of a training or an evaluation."""

    device: str
    """Where the network was computed, in Paddle's words (``cpu``, ``gpu:0``), with the card."""
    processor: str
    cores: int
    """That this process may use."""
    threads: int
    """Of a training on the CPU (LUNGDX_THREADS)."""
    memory_gb: float
    system: str
    python: str
    paddle: str
    numpy: str
    lungdx_paddle: str
    commit: str
    """Of the checkout; ``+`` where it has uncommitted changes, empty outside of one."""
    date: str
    """UTC, ISO 8601."""

    @classmethod
    def current(cls, device: str = "cpu") -> Environment:
        """The environment of this process.

        Args:
            device: where networks are computed, as :func:`lungdx_paddle.runtime.set_up` returns.
        """
        if device.startswith("gpu"):
            import paddle

            device = f"{device} ({paddle.device.cuda.get_device_name()})"
        try:
            memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
        except (ValueError, OSError, AttributeError):  # Windows has no sysconf
            memory_gb = 0.0
        versions = {"paddlepaddle": "", "paddlepaddle-gpu": ""}
        for package in versions:
            with contextlib.suppress(PackageNotFoundError):
                versions[package] = version(package)
        now = datetime.datetime.now(datetime.timezone.utc)
        return cls(
            device=device,
            processor=cpu_field("model name") or platform.processor() or platform.machine(),
            cores=available_cores(),
            threads=chosen_threads(),
            memory_gb=round(memory_gb, 1),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            paddle=next(filter(None, versions.values()), ""),
            numpy=np.__version__,
            lungdx_paddle=lungdx_paddle.__version__,
            commit=_commit(),
            date=now.isoformat(timespec="seconds"),
        )

    def write(self, path: Path) -> None:
        """Write JSON.

        Raises:
            OutputError: it cannot be written.
        """
        write_text(path, json.dumps(dataclasses.asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Environment:
        """Read what :meth:`write` wrote.

        Raises:
            CheckpointError: it is missing or something else.
        """
        try:
            return cls(**read_json(path))
        except (UnreadableError, TypeError) as error:
            raise CheckpointError(
                str(path),
                expected="the environment of a training",
                found=str(error) if isinstance(error, UnreadableError) else "other keys",
                fix="copy the whole output folder again",
            ) from error

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, the paper's, ours) for each entry: the paper's Table 1 and ours."""
        names = {"memory_gb": "memory (GB)"}
        return [
            (names.get(name, name), PAPER.get(name, "-"), short_line(str(value)) or "-")
            for name, value in dataclasses.asdict(self).items()
        ]


def _commit() -> str:
    top = Path(lungdx_paddle.__file__).resolve().parent.parent
    if not (top / ".git").exists():  # installed from a wheel, maybe inside another's checkout
        return ""
    # The hash, whatever tags there are, and a + where a file that git knows is changed.
    words = ["describe", "--always", "--exclude=*", "--abbrev=12", "--dirty=+"]
    try:
        ran = subprocess.run(["git", "-C", str(top), *words], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.decode().strip()
