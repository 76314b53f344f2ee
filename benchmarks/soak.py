"""Soak: training, the server and the node at work for hours; do memory and file handles stay flat?

All three run at once, as the commands that users run, on a phantom: a training that writes a row
every few steps, a server that four clients ask for crops and for CTs that they open, click and
close, and a node that a scanner sends one study after the other.  What each holds is read every few
seconds.  It needs the extras bench, node and serve.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import measure
import numpy as np
from soak_work import (
    STARTED_S,
    WAIT_S,
    Counts,
    ask,
    command,
    free_port,
    held,
    material,
    pacs,
    scan_and_send,
)

from lungdx_paddle import progress
from lungdx_paddle.commands import cli
from lungdx_paddle.files import writable_folder, write_text

CLIENTS = 4
"""Of the server."""

KEPT = 240
"""Points of time in the record, of each work."""

UNITS = {"training": "rows", "serve": "requests", "node": "answers"}


def soak(folder: Path, minutes: float) -> tuple[dict[str, list[list[float]]], Counts]:
    """Let all three work; {work: [[minute, MB, handles, threads], ...]}, and what was done."""
    import psutil

    files, pixel, crop = material(folder)
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    counts, stop = Counts(), threading.Event()
    web, dicom, model, run = free_port(), free_port(), folder / "model", folder / "run"
    long = ("train.steps=1000000", "train.log_every=5", f"output={run}")
    data = f"data.manifest={folder / 'crops' / 'manifest.csv'}"
    config = measure.CONFIGS / "testing.yaml"
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(pacs(counts))
        peer = (
            "--send-to",
            f"PACS@127.0.0.1:{port}",
            "--port",
            str(dicom),
            "--quiet-seconds",
            "0.5",
        )
        lines: dict[str, tuple[str | Path, ...]] = {
            "training": ("train", "-c", config, "-o", data, *long, "--device", "cpu"),
            "serve": ("serve", "--model", model, "--port", str(web)),
            "node": (
                "node",
                "--model",
                model,
                "--queue",
                folder / "queue",
                "--points",
                folder / "points.json",
                *peer,
            ),
        }
        begun = {
            name: psutil.Process(stack.enter_context(command(folder / f"{name}.log", *line)).pid)
            for name, line in lines.items()
        }
        stack.callback(stop.set)
        _wait_for(web, dicom)
        address = f"http://127.0.0.1:{web}"
        workers = [
            threading.Thread(
                target=ask, args=(address, zipped.getvalue(), crop, pixel, stop, counts)
            )
            for _ in range(CLIENTS)
        ]
        workers.append(threading.Thread(target=scan_and_send, args=(files, dicom, stop, counts)))
        for worker in workers:
            worker.start()
        found: dict[str, list[list[float]]] = {name: [] for name in begun}
        start, samples = time.monotonic(), max(20, round(minutes * 12))
        for number in progress.bar(range(samples), desc="soak", unit="sample"):
            stop.wait(max(0.0, start + (number + 1) * minutes * 60 / samples - time.monotonic()))
            for name, process in begun.items():
                if process.status() == psutil.STATUS_ZOMBIE:
                    log = (folder / f"{name}.log").read_text(errors="replace")
                    raise RuntimeError(f"{name} ended: {log[-2000:]}")
                found[name].append([(time.monotonic() - start) / 60, *held(process)])
        stop.set()
        for worker in workers:
            worker.join(STARTED_S)
    counts.done["training"] = len((run / "table2.csv").read_text(encoding="utf-8").splitlines()) - 1
    return found, counts


def _wait_for(*ports: int) -> None:
    end = time.monotonic() + STARTED_S
    for port in ports:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if time.monotonic() > end:
                raise RuntimeError(f"nothing listens on port {port}")
            time.sleep(WAIT_S)


def benchmark(out: Path, minutes: float) -> dict[str, Any]:
    """Soak and draw what was held."""
    with tempfile.TemporaryDirectory() as folder:
        found, counts = soak(Path(folder), minutes)
    packages = ("paddlepaddle", "visualdl", "pydicom", "pynetdicom", "fastapi", "uvicorn")
    record = {
        "benchmark": "soak",
        "minutes": minutes,
        "machine": measure.machine(*packages),
        "done": dict(counts.done),
        "wrong": {what: count for what, count in counts.wrong.items() if count},
        "columns": ["minute", "MB", "handles", "threads"],
        "held": {
            name: np.round(rows[:: max(1, len(rows) // KEPT)], 2).tolist()
            for name, rows in found.items()
        },
        "growth": {name: growth_of(np.array(rows)) for name, rows in found.items()},
    }
    _draw(record, out / "soak.png")
    return record


def growth_of(rows: np.ndarray) -> dict[str, float]:
    """Median MB and most handles of the second quarter and the last; slope of the second half."""
    quarter = max(1, len(rows) // 4)
    early, late, half = rows[quarter : 2 * quarter], rows[-quarter:], rows[len(rows) // 2 :]
    return {
        "mb_early": round(float(np.median(early[:, 1])), 1),
        "mb_late": round(float(np.median(late[:, 1])), 1),
        "mb_an_hour": round(60 * float(np.polyfit(half[:, 0], half[:, 1], 1)[0]), 1),
        "handles_early": int(early[:, 2].max()),
        "handles_late": int(late[:, 2].max()),
        "threads_late": int(late[:, 3].max()),
    }


def _draw(record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    from lungdx_paddle.figures.canvas import save_figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, column, label in zip(figure.subplots(1, 2), (1, 2), ("memory, MB", "file handles")):
        for name, rows in record["held"].items():
            axes.plot([row[0] for row in rows], [row[column] for row in rows], label=name)
        axes.set(xlabel="minutes", ylabel=label, ylim=(0, None))
        axes.legend()
    figure.suptitle(f"{record['machine']['cpu']}, all three at once", fontsize=9)
    save_figure(figure, path)


def table(record: dict[str, Any]) -> str:
    """What each did and held, early and late."""
    rows = []
    for name, unit in UNITS.items():
        one = record["growth"][name]
        rows.append(
            [
                name,
                f"{record['done'].get(name, 0)} {unit}",
                f"{one['mb_early']:.0f}",
                f"{one['mb_late']:.0f}",
                f"{one['mb_an_hour']:+.1f}",
                f"{one['handles_early']}, {one['handles_late']}",
                f"{one['threads_late']}",
            ]
        )
    wrong = ", ".join(f"{what} {count}" for what, count in record["wrong"].items()) or "nothing"
    head = ("work", "done", "MB early", "MB late", "MB an hour", "most handles", "threads")
    about = (
        f"{record['minutes']:g} minutes, phantom; early is the second quarter, late the last one, "
        f"the slope is of the second half; went wrong: {wrong}"
    )
    return measure.page(about, record["machine"], head, rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Soak, write the record, the table and the picture, print the table."""
    parser = cli.parser(__doc__, "python benchmarks/soak.py --minutes 120")
    parser.add_argument("--minutes", type=float, default=120.0, metavar="M", help="(%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR")
    options = parser.parse_args(argv)
    record = benchmark(writable_folder(options.out), options.minutes)
    write_text(options.out / "soak.json", json.dumps(record) + "\n")
    write_text(options.out / "soak.md", table(record) + "\n")
    cli.say(*table(record).splitlines(), "", f"written to {options.out}/soak.json, .md and .png")


if __name__ == "__main__":
    cli.run(main)
