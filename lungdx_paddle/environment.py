"""The machine and the versions behind a result: the paper's Table 1, recorded for every run."""

from __future__ import annotations

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
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.files import write_text
from lungdx_paddle.runtime import available_cores, chosen_threads

PAPER: dict[str, str] = {
    "device": "NVIDIA Tesla V100, CUDA 11",
    "paddle": "1.8",
}
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
        now = datetime.datetime.now(datetime.timezone.utc)
        return cls(
            device=f"{device} ({_card_name()})" if device.startswith("gpu") else device,
            processor=processor_name(),
            cores=available_cores(),
            threads=chosen_threads(),
            memory_gb=_memory_gb(),
            system=f"{platform.system()} {platform.release()}",
            python=platform.python_version(),
            paddle=_installed("paddlepaddle", "paddlepaddle-gpu"),
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
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise CheckpointError(
                str(path),
                expected="the environment of a training",
                found=getattr(error, "strerror", None) or "something else",
                fix="copy the whole output folder again",
            ) from error

    def rows(self) -> list[tuple[str, str, str]]:
        """(what, the paper's, ours) for each entry: the paper's Table 1 and ours."""
        return [
            (name.replace("_", " "), PAPER.get(name, "-"), str(value) or "-")
            for name, value in dataclasses.asdict(self).items()
        ]


def processor_name() -> str:
    """The processor's model as its maker calls it, or its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _card_name() -> str:
    import paddle

    return str(paddle.device.cuda.get_device_name())


def _memory_gb() -> float:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):  # Windows has no sysconf
        return 0.0


def _installed(*names: str) -> str:
    for name in names:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return ""


def _commit() -> str:
    top = Path(lungdx_paddle.__file__).resolve().parent.parent
    if not (top / ".git").exists():  # installed from a wheel, maybe inside another's checkout
        return ""
    try:
        git = ["git", "-C", str(top)]
        head = subprocess.run(
            [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True
        )
        changed = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")
