"""Benchmark of a training step beside Paddle as it comes and PyTorch, eager and compiled.

All are given the same network, batch, threads and float32; each runs in a process of its own
and makes some steps in turn, so that other load on the machine slows all.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import measure
import numpy as np
from plain_network import sizes_of

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import InstallError
from lungdx_paddle.manifest import COLUMNS
from lungdx_paddle.runtime import MKL_CPU_TYPE, chosen_threads

NAMES = {
    "ours": "ours",
    "paddle": "Paddle as it comes",
    "torch": "PyTorch",
    "compiled": "PyTorch, compiled",
}
ROUNDS, STEPS, CROPS = 5, 4, 1280


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Time every library with one thread, and with as many as a training takes."""
    config = measure.CONFIGS / ("testing.yaml" if options.quick else "partial_soft.yaml")
    rounds, steps = (1, 1) if options.quick else (ROUNDS, STEPS)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        manifest = _write_crops(Path(folder))
        for threads in [1] if options.quick else sorted({1, chosen_threads()}):
            processes = _start(config, manifest, options, threads)
            ways = {name: partial(p.request, str(steps)) for name, p in processes.items()}
            timings = measure.interleaved(ways, rounds)
            for name, process in processes.items():
                process.close()
                row = {
                    "threads": threads,
                    "name": NAMES[name],
                    "version": process.version,
                    "ms": 1e3 * timings[name].median_s,
                    "times_ours": timings[name].times(timings["ours"]),
                    "memory_mb": timings[name].result["memory_mb"],
                }
                rows.append(row)
    torch = (row["version"] for row in rows if row["name"] == NAMES["torch"])
    return {
        "benchmark": "train_step",
        "config": config.stem,
        "rounds": rounds,
        "machine": measure.machine("numpy", "paddlepaddle", torch=next(torch, "none")),
        "rows": rows,
    }


def _start(
    config: Path, manifest: Path, options: argparse.Namespace, threads: int
) -> dict[str, measure.LibraryProcess]:
    """The processes, as far as their libraries are there; which is missing is noted."""
    from lungdx_paddle.config import load_config

    sizes = manifest.with_name("sizes.json")
    sizes.write_text(sizes_of(load_config(config)), encoding="utf-8")
    pythons = {"ours": sys.executable, "paddle": sys.executable}
    if measure.has_torch(options.torch_python):
        pythons["torch"] = options.torch_python
        if not options.quick:
            pythons["compiled"] = options.torch_python
    else:
        cli.note(f"PyTorch: left out, {options.torch_python} does not have it (--torch-python)")
    processes = {}
    for name, python in pythons.items():
        words = ("train", name, str(config if name == "ours" else sizes), str(manifest))
        without = MKL_CPU_TYPE if name == "paddle" else ""
        try:
            processes[name] = measure.LibraryProcess(python, words, threads, without)
        except InstallError:
            if name != "compiled":
                raise
            cli.note("PyTorch, compiled: left out, its compiler does not work here")
    return processes


def _write_crops(folder: Path) -> Path:
    """Write ``folder/manifest.csv`` and crops of noise; return its path."""
    random = np.random.default_rng(0)
    (folder / "crops").mkdir()
    lines = [",".join(COLUMNS)]
    for k in range(CROPS):
        noise = random.integers(0, 256, (32, 32)).astype(np.uint8)
        cv2.imwrite(str(folder / f"crops/{k}.jpg"), cv2.GaussianBlur(noise, (0, 0), 2))
        what = f"crops/{k}.jpg,MADE-UP-{k // 10},1.2.{k // 10},{k % 10 // 5},{1.25 * (k % 5)}"
        labels = f"{1 + k % 5};{1 + k % 4};3;3,{'' if k % 5 else 1 + k % 3},"
        lines.append(f"{what},0.7,1,20,2040,4,{labels}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "manifest.csv"


def table(record: dict[str, Any]) -> str:
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
    about = f"Network: {record['config']}, made-up crops; median of {record['rounds']} rounds"
    return measure.page(about, record["machine"], head, rows)


main = measure.command(__doc__, "train_step.py --torch-python PYTHON", benchmark, table)

if __name__ == "__main__":
    cli.run(main)
