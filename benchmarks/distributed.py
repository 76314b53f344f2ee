"""Images a second of one training in one process and in two, with as many threads in all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from crops import write_crops
from timing import machine, machine_line, markdown_table, write_json

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.runtime import THREADS

TOP = Path(__file__).resolve().parent.parent
WAYS = ((1, 1), (1, 2), (2, 1))
"""(processes, threads of each)."""
ROUNDS, STEPS, WARM_UP = 2, 20, 4


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/distributed.py")
    add = parser.add_argument
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--quick", action="store_true", help="one round of a tiny network: does it run at all?")
    args = parser.parse_args(argv)
    writable_folder(args.out)
    record = benchmark(args.quick)
    path = write_json(args.out, "distributed", record)
    cli.say("\n".join((*table(record), f"written to {path}")))


def benchmark(quick: bool) -> dict[str, Any]:
    """Train for some steps each way in turn, round by round."""
    rounds = 1 if quick else ROUNDS
    seconds: dict[Any, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        manifest = write_crops(Path(folder) / "crops", 1280)
        for _ in range(rounds):
            for way, each in seconds.items():
                each.append(_step_seconds(Path(folder), manifest, way, quick))
    return {
        "benchmark": "distributed",
        "config": _config(quick),
        "rounds": rounds,
        "machine": machine(("numpy", "paddlepaddle")),
        "rows": [
            {
                "processes": way[0],
                "threads": way[1],
                "ms": 1e3 * median(each),
                "images_per_s": 128 / median(each),
                "times_first": median(seconds[WAYS[0]][k] / s for k, s in enumerate(each)),
            }
            for way, each in seconds.items()
        ],
    }


def _config(quick: bool) -> str:
    return "testing" if quick else "partial_soft"


def _step_seconds(folder: Path, manifest: Path, way: Sequence[int], quick: bool) -> float:
    """Median of the steps' seconds, as the training logs them."""
    from visualdl import LogReader

    processes, threads = way
    output = Path(tempfile.mkdtemp(dir=folder))
    launch = ["-m", "paddle.distributed.launch", "--nproc_per_node", str(processes)]
    own = [f"data.manifest={manifest}", f"output={output}", "data.batch_size=128"]
    steps = [f"train.steps={8 if quick else STEPS}", "train.log_every=1000"]
    words = ["-c", str(TOP / "configs" / f"{_config(quick)}.yaml"), "-o", *own, *steps]
    command = [*(launch if processes > 1 else ()), str(TOP / "tools" / "train.py"), *words]
    ran = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, THREADS: str(threads)},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise InstallError(
            f"a training in {processes} processes",
            expected="it to end well",
            found=" ".join(ran.stderr.split())[-200:],
            fix="try python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py",
        )
    log = LogReader(file_path=str(next((output / "vdl").iterdir())))
    speeds = [point.value for point in log.get_data("scalar", "steps_per_second")]
    return 1.0 / median(speeds[WARM_UP:])


def table(record: dict[str, Any]) -> list[str]:
    """The record as lines of Markdown."""
    head = ("processes x threads", "ms a step", "images/s", "of one process, one thread")
    rows = [
        [
            f"{row['processes']} x {row['threads']}",
            f"{row['ms']:.0f}",
            f"{row['images_per_s']:.0f}",
            f"{row['times_first']:.2f} x",
        ]
        for row in record["rows"]
    ]
    return [
        f"Network: {record['config']}, 128 images a step; median of {record['rounds']} rounds.",
        f"Machine: {machine_line(record['machine'])}.",
        "",
        markdown_table(head, rows),
        "",
    ]


if __name__ == "__main__":
    cli.run(main)
