"""How fast an exported model answers, beside ONNX Runtime and PyTorch, and how soon.

Without --run the network is one trained for a few steps on a phantom: as fast as any.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from asked import Asked
from runtimes import ANSWERS, CROPS, LIBRARIES, PADDLE_ONLY, TORCH_WEIGHTS
from timing import PACKAGES, Timing, machine, machine_line, markdown_table, write_json

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.runtime import THREADS, chosen_threads

BATCHES = (1, 32, 512)
ROUNDS, START_ROUNDS = 15, 3
BURST_S = 0.15
"""In each round a library is asked for this long, so that it runs as it does alone."""

AGREEMENT = 1e-4
"""Of probabilities, before anything is timed: libraries sum in other orders."""

NAMES = {
    "ours": "ours",
    "paddle": "ours, Paddle alone",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch",
}
TOP = Path(__file__).resolve().parent.parent


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/inference.py --run output/partial_soft")
    add = parser.add_argument
    add("--run", type=Path, metavar="DIR", help="output folder of tools/train.py")
    add("--torch-python", default=sys.executable, metavar="FILE", help="a Python with PyTorch")
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--quick", action="store_true", help="one round of a tiny network: does it run at all?")
    args = parser.parse_args(argv)
    writable_folder(args.out)
    pythons = _pythons(args.torch_python)
    with tempfile.TemporaryDirectory() as folder:
        run = args.run or _phantom_run(Path(folder) / "run", args.quick)
        record = benchmark(run, Path(folder), pythons, 1 if args.quick else ROUNDS)
    path = write_json(args.out, "inference", record)
    cli.say("\n".join((*table(record), f"written to {path}")))


def benchmark(run: Path, folder: Path, pythons: Mapping[str, str], rounds: int) -> dict[str, Any]:
    """Export a run into ``folder`` and time every library, batch and number of threads on it."""
    from lungdx_paddle.config import load_config
    from lungdx_paddle.data.images import read_images
    from lungdx_paddle.inference.export import export
    from lungdx_paddle.manifest import read_manifest

    export(run, folder, onnx=True)
    export(run, writable_folder(folder / PADDLE_ONLY))
    torch_weights(run, folder / TORCH_WEIGHTS)
    manifest = read_manifest(load_config(run / "config.yaml").data.manifest)
    np.save(folder / CROPS, np.resize(read_images(manifest), (max(BATCHES), 32, 32)))
    every = sorted({1, chosen_threads()})
    measured = [time_libraries(pythons, folder, threads, rounds) for threads in every]
    crop = str(manifest.image_path(manifest.rows[0]))
    packages = (*PACKAGES[:1], "paddlepaddle", "paddle2onnx", "onnxruntime")
    own = machine(packages)
    own["versions"]["torch"] = measured[0]["versions"].get("torch", "not installed")
    return {
        "benchmark": "inference",
        "run": "phantom, a few steps" if run.is_relative_to(folder) else run.name,
        "rounds": rounds,
        "machine": own,
        "speeds": [row for each in measured for row in each["rows"]],
        "start": start_up(folder, crop, 1 if rounds == 1 else START_ROUNDS),
    }


def time_libraries(
    pythons: Mapping[str, str], folder: Path, threads: int, rounds: int
) -> dict[str, Any]:
    """Start each library, see that all say the same, and time them in turn, round by round."""
    asked = {name: _Library(name, python, folder, threads) for name, python in pythons.items()}
    try:
        difference = _differences(folder, list(asked))
        rows, order = [], random.Random(0)
        for batch in BATCHES:
            calls = {name: library.calls(batch) for name, library in asked.items()}
            seconds: dict[str, list[float]] = {name: [] for name in asked}
            for _ in range(rounds):
                # In another order each time: threads of the one before may spin for a while.
                for name in order.sample(list(asked), len(asked)):
                    seconds[name].append(median(asked[name].ask(f"{batch} {calls[name]}")))
            timings = {name: Timing(each, None) for name, each in seconds.items()}
            rows.append(_row(threads, batch, timings, difference))
        return {"rows": rows, "versions": {name: each.version for name, each in asked.items()}}
    finally:
        for library in asked.values():
            library.close()


def start_up(model: Path, crop: str, rounds: int) -> dict[str, float]:
    """Seconds of the whole process: predict.py --help, and the answer for one crop."""
    tool = [sys.executable, str(TOP / "tools" / "predict.py")]
    commands = {
        "help_s": [*tool, "--help"],
        "first_prediction_s": [*tool, "--model", str(model), crop],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - start)
    return {name: median(each[1:]) for name, each in seconds.items()}  # the first filled caches


def torch_weights(run: Path, path: Path) -> None:
    """Write a run's weights under the names that torch_network.py reads.

    Raises:
        ConfigError: the run has one trunk or dense units, which are not written for PyTorch.
    """
    from lungdx_paddle.training.run import load_run

    config, network = load_run(run)
    if len(network.towers) != 2 or config.sharing.unit == "dense":
        raise ConfigError(
            str(run),
            expected="two towers with channel or scalar units, as torch_network.py has them",
            found=f"sites {list(config.sharing.sites)}, unit {config.sharing.unit}",
            fix="give a run of configs/partial_soft.yaml",
        )
    arrays = {"mean": network.pixel_mean, "deviation": network.pixel_deviation}
    for k, task in enumerate(network.tasks):
        arrays.update({f"tower{k}.{n}": w for n, w in network.towers[task].state_dict().items()})
        arrays.update({f"head{k}.{n}": w for n, w in network.heads[task].state_dict().items()})
    for stage, unit in network.units.items():
        for tower in "ab":
            own, cross = unit.weights(tower)
            arrays[f"unit.{stage}.own_{tower}"] = own.flatten()
            arrays[f"unit.{stage}.cross_{tower}"] = cross.flatten()
    np.savez(path, **{name: weight.numpy() for name, weight in arrays.items()})


def table(record: dict[str, Any]) -> list[str]:
    """The record as lines of Markdown."""
    head = ("threads, batch", "crops/s", "ms a batch", *list(NAMES.values())[1:])
    start = record["start"]
    return [
        f"Model: {record['run']}; median of {record['rounds']} interleaved rounds.",
        f"Machine: {machine_line(record['machine'])}.",
        "",
        markdown_table(head, [_cells(row) for row in record["speeds"]]),
        "",
        f"Start-up: tools/predict.py --help {start['help_s']:.2f} s, "
        f"the first prediction {start['first_prediction_s']:.2f} s.",
        "",
    ]


class _Library(Asked):
    """A process of runtimes.py."""

    def __init__(self, name: str, python: str, folder: Path, threads: int) -> None:
        number = str(threads)
        words = ("runtimes.py", name, str(folder), number)
        super().__init__(NAMES[name], python, words, {THREADS: number, "OMP_NUM_THREADS": number})
        self.version = self.first["version"]

    def calls(self, batch: int) -> int:
        """Calls that take about :data:`BURST_S`, after two that warm up."""
        return max(1, int(BURST_S / self.ask(f"{batch} 3")[-1]))


def _row(
    threads: int, batch: int, timings: Mapping[str, Timing], difference: Mapping[str, float]
) -> dict[str, Any]:
    ours = timings["ours"]
    return {
        "threads": threads,
        "batch": batch,
        "crops_per_s": batch / ours.median_s,
        "ms": 1e3 * ours.median_s,
        "beside": {
            NAMES[name]: {
                "ms": 1e3 * timing.median_s,
                "times_ours": timing.times(ours),
                "largest_difference": difference[name],
            }
            for name, timing in timings.items()
            if name != "ours"
        },
    }


def _cells(row: dict[str, Any]) -> list[str]:
    beside = [row["beside"].get(name) for name in list(NAMES.values())[1:]]
    return [
        f"{row['threads']}, {row['batch']}",
        f"{row['crops_per_s']:.0f}",
        f"{row['ms']:.2f}",
        *(f"{other['times_ours']:.2f} x" if other else "-" for other in beside),
    ]


def _differences(folder: Path, names: Sequence[str]) -> dict[str, float]:
    answers = {name: np.load(folder / f"{name}_{ANSWERS}") for name in names}
    ours = answers["ours"]
    found = {
        name: max(float(np.abs(own[key] - ours[key]).max()) for key in ours)
        for name, own in answers.items()
    }
    other = max(found, key=lambda name: found[name])
    if found[other] > AGREEMENT:
        raise RuntimeError(f"{other} differs from ours by {found[other]:.1e}")
    return found


def _pythons(torch_python: str) -> dict[str, str]:
    """The Python that runs each library; PyTorch is left out where there is none."""
    from lungdx_paddle.inference.onnx import require_paddle2onnx

    require_paddle2onnx()
    try:
        asked = subprocess.run([torch_python, "-c", "import torch"], capture_output=True)
    except OSError as error:
        raise ConfigError(
            f"--torch-python {torch_python}",
            expected="a Python",
            found=error.strerror or str(error),
            fix="name the Python of an environment with PyTorch",
        ) from error
    pythons = dict.fromkeys(LIBRARIES, sys.executable)
    pythons["torch"] = torch_python
    if asked.returncode:
        del pythons["torch"]
    return pythons


def _phantom_run(folder: Path, quick: bool) -> Path:
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.config import load_config
    from lungdx_paddle.training.trainer import train

    config = TOP / "configs" / ("testing.yaml" if quick else "partial_soft.yaml")
    folder.mkdir()
    own = [f"output={folder}", "train.steps=10", "data.phantom_patients=8"]
    train(with_data(load_config(config, own), cli.note), "cpu")
    return folder


if __name__ == "__main__":
    cli.run(main)
