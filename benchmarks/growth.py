"""Benchmark of growth: seconds against the series of a collection, and against crops.

Series are of phantoms, through the whole of tools/preprocess.py in new processes; crops are made
up, through a Predictor.  Both with one core and with all: two tables in one, and one picture.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measure
from inference import phantom_run, tool

from lungdx_paddle.commands import cli
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.runtime import THREADS, available_cores
from lungdx_paddle.words import count_of

SERIES, CROPS, ROUNDS = (1, 4, 16), (1, 8, 64, 512, 4096), 3
FULL, QUICK = PhantomSettings(rows=512, slices=64), PhantomSettings(rows=128, slices=18)

PREDICT = """
import json, sys, time
from pathlib import Path
import numpy as np
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.runtime import chosen_threads
predictor = Predictor(Path(sys.argv[1]), chosen_threads())
for line in sys.stdin:
    crops = np.random.default_rng(0).integers(0, 256, (int(line), 32, 32), np.uint8)
    start = time.perf_counter()
    predictor.probabilities(crops)
    print(json.dumps({"seconds": [time.perf_counter() - start]}), flush=True)
"""
"""A process of one predictor, which times what it is sent."""


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Time both on one core and on all, and draw the picture."""
    from lungdx_paddle.inference.onnx import require_paddle2onnx

    require_paddle2onnx()
    rounds, settings = (1, QUICK) if options.quick else (ROUNDS, FULL)
    cores = [1] if options.quick else sorted({1, available_cores()})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = options.run or phantom_run(folder / "run", options.quick)
        tool("export", "--run", run, "--out", folder, "--onnx")
        sizes = (SERIES[:1], CROPS[:2]) if options.quick else (SERIES, CROPS)
        series = list(_series(folder / "ct", settings, sizes[0], cores, rounds))
        crops = list(_crops(folder, sizes[1], cores, rounds))
    record = {
        "benchmark": "growth",
        "slices_a_series": settings.slices,
        "rounds": rounds,
        "machine": measure.machine("numpy", "opencv-python-headless", "pydicom", "onnxruntime"),
        "series": series,
        "crops": crops,
    }
    _draw(record, options.out / "growth.png")
    return record


def _series(
    folder: Path, settings: PhantomSettings, sizes: Sequence[int], cores: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """Seconds of the command on the first series of a collection, by the number of processes."""
    write_phantom(folder / "all", patients=max(sizes), settings=settings)
    patients = sorted(path for path in (folder / "all").iterdir() if path.is_dir())
    for size in sizes:
        some = folder / str(size)
        some.mkdir()
        for patient in patients[:size]:
            (some / patient.name).symlink_to(patient)
        ways = {str(jobs): partial(_preprocess, some, jobs) for jobs in cores}
        yield _row(size, ways, rounds)


def _preprocess(source: Path, jobs: int) -> None:
    with tempfile.TemporaryDirectory() as out:
        tool("preprocess", "--lidc", source, "--out", Path(out) / "crops", "--jobs", str(jobs))


def _crops(
    model: Path, sizes: Sequence[int], cores: Sequence[int], rounds: int
) -> Iterator[dict[str, Any]]:
    """Seconds of one call of a predictor, by its number of threads."""
    processes = {
        str(threads): subprocess.Popen(
            [sys.executable, "-c", PREDICT, str(model)],
            env={**os.environ, THREADS: str(threads)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for threads in cores
    }
    for size in sizes:
        yield _row(size, {n: partial(_ask, p, size) for n, p in processes.items()}, rounds)
    for process in processes.values():
        process.communicate()


def _ask(process: subprocess.Popen[str], crops: int) -> Any:
    assert process.stdin is not None and process.stdout is not None
    print(crops, file=process.stdin, flush=True)
    return json.loads(process.stdout.readline())


def _row(size: int, ways: dict[str, Callable[[], Any]], rounds: int) -> dict[str, Any]:
    timings = measure.interleaved(ways, rounds)
    return {"size": size, "seconds": {n: timing.median_s for n, timing in timings.items()}}


def _draw(record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator

    from lungdx_paddle.figures.canvas import save_figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, of, label in zip(
        figure.subplots(1, 2),
        ("series", "crops"),
        (f"series of {record['slices_a_series']} slices: the command", "crops: a Predictor"),
    ):
        sizes = [row["size"] for row in record[of]]
        for cores in record[of][0]["seconds"]:
            seconds = [row["seconds"][cores] for row in record[of]]
            axes.plot(sizes, seconds, "o-", label=f"cores: {cores}")
        axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds")
        axes.set_xticks(sizes, list(map(str, sizes)), minor=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")  # canvas.py has mathematics off
        axes.minorticks_off()
        axes.legend()
    figure.suptitle(record["machine"]["cpu"], fontsize=9)
    save_figure(figure, path)


def table(record: dict[str, Any]) -> str:
    cores = list(record["series"][0]["seconds"])
    slices = record["slices_a_series"]
    rows = []
    for of, one, each, unit in (
        ("series", "series", slices, "slices"),
        ("crops", "crop", 1, "crops"),
    ):
        for row in record[of]:
            seconds = [row["seconds"][n] for n in cores]
            times = [f"{s:.3f}" for s in seconds] + [f"{seconds[0] / seconds[-1]:.2f} x"]
            rate = f"{each * row['size'] / seconds[0]:.0f} {unit}/s"
            rows.append([count_of(row["size"], one), *times, rate])
    head = ("size", *(f"s, {count_of(int(n), 'core')}" for n in cores), "gain", "one core")
    about = f"Phantom series of {slices} slices; median of {record['rounds']} interleaved rounds"
    return measure.page(about, record["machine"], head, rows)


main = measure.command(__doc__, "growth.py", benchmark, table)

if __name__ == "__main__":
    cli.run(main)
