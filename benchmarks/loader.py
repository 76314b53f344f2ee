"""What reading the crops costs a training: start-up, share of a step, memory; 1000 to a million.

Each size is read by a process of its own, without and then with the cache of decoded crops.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from crops import write_crops
from memory import peak_mb
from timing import machine, machine_line, markdown_table, write_json

from lungdx_paddle.commands import cli
from lungdx_paddle.files import writable_folder

SIZES = (1_000, 11_409, 100_000, 1_000_000)
"""11 409 is the number of crops of the public set of nodule slices."""
STEPS = 200
"""Batches read in a row."""
TIMED_STEPS = 5
"""Training steps, beside which a batch is judged."""
CONFIG = Path(__file__).resolve().parent.parent / "configs" / "partial_soft.yaml"


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/loader.py")
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="crops (%(default)s)")
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--measure", type=Path, help="(used by itself) measure one manifest in this process")
    args = parser.parse_args(argv)
    if args.measure:
        cli.say(json.dumps(measure(args.measure)))
        return
    writable_folder(args.out)
    rows = [_of_size(size) for size in args.sizes]
    record = {"benchmark": "loader", "machine": machine(("numpy", "paddlepaddle")), "rows": rows}
    path = write_json(args.out, "loader", record)
    picture = draw(rows, args.out / "growth_crops.png")
    cli.say("\n".join((*table(record), f"written to {path} and {picture}")))


def _of_size(size: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_crops(Path(folder), size)
        time.sleep(2.1)  # the cache trusts no crop that is younger
        words = [sys.executable, __file__, "--measure", str(manifest)]
        asked = (subprocess.run(words, capture_output=True, text=True, check=True) for _ in "12")
        first, again = (json.loads(each.stdout.splitlines()[-1]) for each in asked)
    return {"crops": size, "start_s": first["start_s"], "cached_start_s": again.pop("start_s")} | {
        **again
    }


def measure(manifest: Path) -> dict[str, float]:
    """Seconds to read and split, to read a batch, to make a step; peak memory in MB."""
    from lungdx_paddle.config import load_config
    from lungdx_paddle.data.dataset import TrainingOrder, load_split
    from lungdx_paddle.runtime import set_up
    from lungdx_paddle.training.step import prepare, training_step

    config = load_config(CONFIG, [f"data.manifest={manifest}"])
    set_up("cpu", config.seed)
    imported = peak_mb()
    start = time.perf_counter()
    dataset, split = load_split(config.data)
    started = time.perf_counter() - start
    training = dataset.subset(split.train)
    read = peak_mb()
    order = TrainingOrder(len(training), config.data.batch_size, config.seed)
    start = time.perf_counter()
    for step in range(STEPS):
        training.batch(order.indices(step))
    batch = (time.perf_counter() - start) / STEPS
    state = prepare(config, training, dataset.subset(split.test))
    training_step(state)
    start = time.perf_counter()
    for _ in range(TIMED_STEPS):
        training_step(state)
    step_s = (time.perf_counter() - start) / TIMED_STEPS
    return {
        "start_s": started,
        "batch_ms": 1e3 * batch,
        "step_ms": 1e3 * step_s,
        "memory_mb": read,
        "imported_mb": imported,
    }


def table(record: dict[str, Any]) -> list[str]:
    """The record as lines of Markdown."""
    head = (
        "crops",
        "start-up, s",
        "from the cache, s",
        "a batch, ms",
        "a step, ms",
        "share of a step",
        "peak memory, MB",
    )
    rows = [
        [
            f"{row['crops']}",
            f"{row['start_s']:.2f}",
            f"{row['cached_start_s']:.2f}",
            f"{row['batch_ms']:.2f}",
            f"{row['step_ms']:.0f}",
            f"{row['batch_ms'] / row['step_ms']:.2%}",
            f"{row['memory_mb']:.0f}",
        ]
        for row in record["rows"]
    ]
    imported = record["rows"][0]["imported_mb"]
    return [
        f"Machine: {machine_line(record['machine'])}.",
        f"Made-up crops, batches of 128. Python and Paddle alone take {imported:.0f} MB.",
        "",
        markdown_table(head, rows),
        "",
    ]


def draw(rows: Sequence[dict[str, Any]], path: Path) -> Path:
    """Draw time of a step and peak memory against the number of crops."""
    from matplotlib.figure import Figure

    crops = [row["crops"] for row in rows]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    times, memory = figure.subplots(1, 2)
    times.plot(crops, [row["step_ms"] for row in rows], "o-", label="a training step")
    times.plot(crops, [row["batch_ms"] for row in rows], "s-", label="of it, reading the batch")
    times.set(yscale="log", ylabel="milliseconds", title="Time of a step (batch of 128)")
    memory.plot(crops, [row["memory_mb"] for row in rows], "o-", label="measured")
    floor = rows[0]["imported_mb"]
    memory.plot(
        crops, [floor + n * 1024 / 1e6 for n in crops], ":", label="Paddle, and 1 KB a crop"
    )
    memory.set(ylabel="MB", title="Peak memory after reading", ylim=(0, None))
    for axes in (times, memory):
        axes.set(xscale="log", xlabel="crops in the manifest")
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path, dpi=110)
    return path


if __name__ == "__main__":
    cli.run(main)
