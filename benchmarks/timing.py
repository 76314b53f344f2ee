"""What every benchmark shares: interleaved timing, the machine in words, table and JSON."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from lungdx_paddle.files import writable_folder, write_text

PACKAGES = ("numpy", "scipy", "opencv-python-headless", "pydicom", "scikit-image")
"""Packages whose versions stand beside every number."""


@dataclass(frozen=True, eq=False)
class Timing:
    """One way to do a thing: the seconds of each round, and what it returned at the end."""

    seconds: Sequence[float]
    result: Any

    @property
    def median_s(self) -> float:
        return median(self.seconds)

    def times(self, other: Timing) -> float:
        """How many times ``other``'s time this takes: the median over the rounds.

        Both were timed one after the other in each round, so that a neighbour who slows the
        machine down for a while slows both.
        """
        return median(mine / its for mine, its in zip(self.seconds, other.seconds))


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Time several ways to do a thing in turn, round by round, after a round that warms up."""
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            results[name] = way()
            seconds[name].append(time.perf_counter() - start)
    return {name: Timing(seconds[name], results[name]) for name in ways}


def machine(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The processor, its cores, the date, and the versions of Python and of ``packages``."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "date": date.today().isoformat(),
        "system": platform.system(),
        "versions": {"python": platform.python_version(), **{p: _version(p) for p in packages}},
    }


def machine_line(of: Mapping[str, Any]) -> str:
    """:func:`machine` as a sentence for the head of a table."""
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    return f"{of['cpu']}, {of['cores']} cores, {of['system']}, {of['date']}; {versions}"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:]))]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(map(line, (head, rule, *rows)))


def write_json(folder: Path, name: str, record: Mapping[str, Any]) -> Path:
    """Write ``folder/name.json`` and return its path.

    Raises:
        OutputError: it cannot be written.
    """
    path = writable_folder(folder) / f"{name}.json"
    write_text(path, json.dumps(record, indent=1) + "\n")
    return path


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown processor"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
