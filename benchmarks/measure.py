"""Shared by all benchmarks: options, interleaved timing, the machine, table and JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from lungdx_paddle.commands import cli
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder, write_text
from lungdx_paddle.runtime import THREADS

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parent / "configs"


def command(
    doc: str | None,
    example: str,
    benchmark: Callable[[argparse.Namespace], dict[str, Any]],
    table: Callable[[dict[str, Any]], str],
) -> Callable[[Sequence[str] | None], None]:
    """The main of a script: run its benchmark, write record and table, print the table."""

    def main(argv: Sequence[str] | None = None) -> None:
        parser = cli.parser(doc, f"python benchmarks/{example}")
        add = parser.add_argument
        add("--lidc", type=Path, metavar="DIR_OR_ZIP", help="one CT series and XML (a phantom)")
        add("--run", type=Path, metavar="DIR", help="output folder of a training (a short one)")
        add("--torch-python", default=sys.executable, metavar="FILE", help="Python with PyTorch")
        add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
        add("--quick", action="store_true", help="tiny, once, on one core: does it run at all?")
        options = parser.parse_args(argv)
        writable_folder(options.out)
        record = benchmark(options)
        path = options.out / f"{record['benchmark']}.json"
        write_text(path, json.dumps(record, indent=1) + "\n")
        write_text(path.with_suffix(".md"), table(record) + "\n")
        cli.say(*table(record).splitlines(), "", f"written to {path} and {path.stem}.md")

    return main


@dataclass(frozen=True)
class Timing:
    """One way to do a thing: the seconds of each round, and what it returned at the end."""

    seconds: Sequence[float]
    result: Any

    @property
    def median_s(self) -> float:
        return median(self.seconds)

    def times(self, other: Timing) -> float:
        """How many times ``other``'s time this takes: the median over the rounds.

        Both were timed one after the other in each round, so that other load that slows the
        machine down for a while slows both.
        """
        return median(mine / its for mine, its in zip(self.seconds, other.seconds))


def interleaved(ways: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Timing]:
    """Time several ways to do a thing in turn, round by round, after a round that warms up.

    A :class:`LibraryProcess` times itself: of its answer's seconds the median is taken.
    """
    order = random.Random(0)
    results = {name: way() for name, way in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        # In another order each time: threads of the one before may spin for a while.
        for name in order.sample(list(ways), len(ways)):
            start = time.perf_counter()
            result = results[name] = ways[name]()
            wall = time.perf_counter() - start
            seconds[name].append(median(result["seconds"]) if isinstance(result, dict) else wall)
    return {name: Timing(seconds[name], results[name]) for name in ways}


class LibraryProcess:
    """A process of libraries.py, which answers each line with one of JSON.

    Args:
        python: the Python that runs it.
        arguments: of libraries.py, but for the last, the number of threads.
        threads: of the library.
        without: a variable that is taken from its environment.

    Raises:
        InstallError: it ends without an answer.
    """

    def __init__(
        self, python: str, arguments: Sequence[str], threads: int, without: str = ""
    ) -> None:
        path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
        number = {THREADS: str(threads), "OMP_NUM_THREADS": str(threads)}
        environment = {**os.environ, "PYTHONPATH": path, **number}
        environment.pop(without, None)
        self.arguments = arguments
        self.process = subprocess.Popen(
            [python, str(HERE / "libraries.py"), *arguments, str(threads)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.version: str = self._answer()["version"]

    def request(self, line: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self.process.communicate()

    def _answer(self) -> Any:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise InstallError(
            " ".join(self.arguments[:2]),
            expected="a library that answers",
            found="a process that ended; its reason stands above",
            fix="pip install -e '.[bench,onnx]'",
        )


def has_torch(python: str) -> bool:
    """Whether a Python has PyTorch."""
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0
    except OSError:  # no such Python
        return False


def machine(*packages: str, **versions: str) -> dict[str, Any]:
    """The processor and its cores, commit and date, and the versions of Python and of packages."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    environment = Environment.current()
    return {
        "cpu": environment.processor,
        "commit": environment.commit,
        "cores": os.cpu_count(),
        "date": date.today().isoformat(),
        "system": platform.system(),
        "versions": {**found, **versions},
    }


def page(
    about: str, of: Mapping[str, Any], head: Sequence[str], rows: Sequence[Sequence[str]]
) -> str:
    """What was done, the machine, and a Markdown table, its first column to the left."""
    versions = ", ".join(f"{name} {number}" for name, number in of["versions"].items())
    where = f"{of['cpu']}, {of['cores']} cores, {of['system']}, commit {of['commit']}, {of['date']}"
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = [f"{about}.", f"Machine: {where}; {versions}.", ""]
    for cells in (head, rule, *rows):
        padded = [cells[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(cells[1:], widths[1:]))]
        lines.append(f"| {' | '.join(padded)} |")
    return "\n".join(lines)
