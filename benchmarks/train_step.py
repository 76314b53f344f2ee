"""How long a training step takes, beside Paddle as it comes and PyTorch, eager and compiled.

All are given the same network, batch, threads and float32; each runs in a process of its own,
asked for some steps in turn, so that a neighbour who slows the machine slows all.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from asked import HERE, Asked
from crops import write_crops
from timing import Timing, machine, machine_line, markdown_table, write_json

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.runtime import MKL_CPU_TYPE, THREADS, chosen_threads

NAMES = {
    "ours": "ours",
    "paddle": "Paddle as it comes",
    "torch": "PyTorch",
    "compiled": "PyTorch, compiled",
}
ROUNDS, STEPS = 5, 4
CONFIG = HERE.parent / "configs" / "partial_soft.yaml"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/train_step.py --torch-python PYTHON")
    add = parser.add_argument
    add("--torch-python", default=sys.executable, metavar="FILE", help="a Python with PyTorch")
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--quick", action="store_true", help="one round of a tiny network: does it run at all?")
    args = parser.parse_args(argv)
    writable_folder(args.out)
    record = benchmark(args.torch_python, args.quick)
    path = write_json(args.out, "train_step", record)
    cli.say("\n".join((*table(record), f"written to {path}")))


def benchmark(torch_python: str, quick: bool) -> dict[str, Any]:
    """Time every library with one thread, and with as many as a training takes."""
    config = CONFIG.with_name("testing.yaml") if quick else CONFIG
    own = machine(("numpy", "paddlepaddle"))
    with tempfile.TemporaryDirectory() as folder:
        every = [1] if quick else sorted({1, chosen_threads()})
        tables = {n: _time(config, Path(folder), torch_python, n, quick) for n in every}
    own["versions"]["torch"] = next(
        (r["version"] for rows in tables.values() for r in rows if r["name"] == "PyTorch"), "none"
    )
    return {
        "benchmark": "train_step",
        "config": config.stem,
        "rounds": 1 if quick else ROUNDS,
        "machine": own,
        "rows": [{"threads": n, **row} for n, rows in tables.items() for row in rows],
    }


def _time(
    config: Path, folder: Path, torch_python: str, threads: int, quick: bool
) -> list[dict[str, Any]]:
    asked = _start(config, folder, torch_python, threads, quick)
    try:
        seconds: dict[str, list[float]] = {name: [] for name in asked}
        memory: dict[str, float] = {}
        for _ in range(1 if quick else ROUNDS):
            for name, process in asked.items():
                answer = process.ask(str(1 if quick else STEPS))
                seconds[name].append(median(answer["seconds"]))
                memory[name] = answer["memory_mb"]
    finally:
        for process in asked.values():
            process.close()
    timings = {name: Timing(each, None) for name, each in seconds.items()}
    return [
        {
            "name": NAMES[name],
            "version": asked[name].first["version"],
            "ms": 1e3 * timing.median_s,
            "times_ours": timing.times(timings["ours"]),
            "memory_mb": memory[name],
        }
        for name, timing in timings.items()
    ]


def _start(
    config: Path, folder: Path, torch_python: str, threads: int, quick: bool
) -> dict[str, Asked]:
    """The processes, as far as their libraries are there; who is missing is said."""
    from lungdx_paddle.config import load_config

    loaded = load_config(config)
    manifest = write_crops(folder / f"crops{threads}", 1280)
    sizes = folder / "sizes.json"
    model = loaded.model
    named = {"conv1": model.conv1, "conv2": model.conv2, "fc": model.fc, "dropout": model.dropout}
    sizes.write_text(json.dumps({**named, "batch_size": loaded.data.batch_size}))
    number = str(threads)
    environment: dict[str, str | None] = {THREADS: number, "OMP_NUM_THREADS": number}
    pythons = {name: sys.executable for name in ("ours", "paddle")}
    if _has_torch(torch_python):
        pythons["torch"] = torch_python
        if not quick:
            pythons["compiled"] = torch_python
    else:
        cli.note(f"PyTorch: left out, {torch_python} does not have it (--torch-python)")
    asked = {}
    for name, python in pythons.items():
        own = config if name == "ours" else sizes
        words = ("steppers.py", name, str(own), str(manifest), number)
        try:
            as_it_comes = {MKL_CPU_TYPE: None} if name == "paddle" else {}
            asked[name] = Asked(NAMES[name], python, words, {**environment, **as_it_comes})
        except InstallError:
            if name != "compiled":
                raise
            cli.note("PyTorch, compiled: left out, its compiler does not work here")
    return asked


def _has_torch(python: str) -> bool:
    try:
        return subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 0
    except OSError:  # no such Python
        return False


def table(record: dict[str, Any]) -> list[str]:
    """The record as lines of Markdown."""
    head = ("threads, library", "ms a step", "times ours", "peak memory, MB")
    rows = [
        [
            f"{row['threads']}, {row['name']}",
            f"{row['ms']:.0f}",
            f"{row['times_ours']:.2f} x",
            f"{row['memory_mb']:.0f}",
        ]
        for row in record["rows"]
    ]
    return [
        f"Network: {record['config']}, made-up crops; median of {record['rounds']} rounds.",
        f"Machine: {machine_line(record['machine'])}.",
        "",
        markdown_table(head, rows),
        "",
    ]


if __name__ == "__main__":
    cli.run(main)
