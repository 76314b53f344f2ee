"""Benchmark of inference: speed and start-up, beside ONNX Runtime and PyTorch.

Without --run the network is trained for a few steps on a phantom, which changes no speed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import measure
import numpy as np
from libraries import ANSWERS, CROPS, INFER, PADDLE_ONLY, SIZES, TORCH_WEIGHTS
from plain_network import SHARED, sizes_of

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.runtime import chosen_threads

BATCHES, ROUNDS, START_ROUNDS = (1, 32, 512), 15, 3
BURST_S = 0.15
"""In each round a library answers for this long, so that it runs as it does alone."""

AGREEMENT = 1e-4
"""Of probabilities, before anything is timed: libraries sum in other orders."""

NAMES = {
    "ours": "ours",
    "at_once": "ours, portions at once",
    "paddle": "ours, Paddle alone",
    "onnxruntime": "ONNX Runtime",
    "torch": "PyTorch",
}
LAYERS = {"conv1": "0.0", "bn1": "0.1", "conv2": "2.0", "bn2": "2.1", "fc": "4.1", "bn3": "4.2"}
"""Layers of a tower, and their places in the plain network's."""
TENSORS = {"_mean": "running_mean", "_variance": "running_var"}
"""Paddle's names and PyTorch's, where they differ."""


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Export a run and time every library, batch and number of threads on it."""
    from lungdx_paddle.config import load_config
    from lungdx_paddle.data.images import read_images
    from lungdx_paddle.inference.onnx import require_paddle2onnx
    from lungdx_paddle.manifest import read_manifest

    require_paddle2onnx()
    pythons = dict.fromkeys(INFER, sys.executable)
    pythons["torch"] = options.torch_python
    if not measure.has_torch(options.torch_python):
        del pythons["torch"]
    rounds = 1 if options.quick else ROUNDS
    versions: dict[str, str] = {}
    speeds: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        run = options.run or phantom_run(folder / "run", options.quick)
        tool("export", "--run", run, "--out", folder, "--onnx")
        tool("export", "--run", run, "--out", folder / PADDLE_ONLY)
        _write_torch_weights(run, folder)
        manifest = read_manifest(load_config(run / "config.yaml").data.manifest)
        np.save(folder / CROPS, np.resize(read_images(manifest), (max(BATCHES), 32, 32)))
        for threads in [1] if options.quick else sorted({1, chosen_threads()}):
            processes = {
                name: measure.LibraryProcess(python, ("infer", name, temporary), threads)
                for name, python in pythons.items()
            }
            versions = {name: process.version for name, process in processes.items()}
            speeds += [{"threads": threads, **row} for row in _time(processes, folder, rounds)]
        crop = str(manifest.folder / manifest.rows[0].image)
        start = _start_up(folder, crop, 1 if options.quick else START_ROUNDS)
    packages = ("numpy", "paddlepaddle", "paddle2onnx", "onnxruntime")
    return {
        "benchmark": "inference",
        "run": options.run.name if options.run else "phantom, a few steps",
        "rounds": rounds,
        "machine": measure.machine(*packages, torch=versions.get("torch", "not installed")),
        "speeds": speeds,
        "start": start,
    }


def _time(
    processes: Mapping[str, measure.LibraryProcess], folder: Path, rounds: int
) -> Iterator[dict[str, Any]]:
    """See that all libraries answer the same, and time them in turn, batch by batch."""
    differences = _differences(folder, processes)
    for batch in BATCHES:
        ways = {}
        for name, process in processes.items():
            one_s = process.request(f"{batch} 3")["seconds"][-1]  # the first two warm up
            ways[name] = partial(process.request, f"{batch} {max(1, int(BURST_S / one_s))}")
        timings = measure.interleaved(ways, rounds)
        ours = timings.pop("ours")
        yield {
            "batch": batch,
            "crops_per_s": batch / ours.median_s,
            "ms": 1e3 * ours.median_s,
            "beside": {
                NAMES[name]: {
                    "ms": 1e3 * timing.median_s,
                    "times_ours": timing.times(ours),
                    "largest_difference": differences[name],
                }
                for name, timing in timings.items()
            },
        }
    for process in processes.values():
        process.close()


def _differences(folder: Path, names: Iterable[str]) -> dict[str, float]:
    """The largest difference of each library's probabilities from ours."""
    ours = np.load(folder / f"ours_{ANSWERS}")
    found = {}
    for name in names:
        own = np.load(folder / f"{name}_{ANSWERS}")
        found[name] = max(float(np.abs(own[task] - ours[task]).max()) for task in ours)
        if found[name] > AGREEMENT:
            raise RuntimeError(f"{name} differs from ours by {found[name]:.1e}")
    return found


def _start_up(model: Path, crop: str, rounds: int) -> dict[str, float]:
    """Seconds of the whole process: predict.py --help, and the answer for one crop."""
    tool = [sys.executable, str(measure.CONFIGS.parent / "tools" / "predict.py")]
    words = {"help_s": ["--help"], "first_prediction_s": ["--model", str(model), crop]}
    run = partial(subprocess.run, check=True, capture_output=True)
    ways = {name: partial(run, [*tool, *each]) for name, each in words.items()}
    return {name: timing.median_s for name, timing in measure.interleaved(ways, rounds).items()}


def _write_torch_weights(run: Path, folder: Path) -> None:
    """Write a run's weights under the plain network's names, and its sizes.

    Raises:
        ConfigError: the run is not of partial soft sharing by channels, which is written plainly.
    """
    from lungdx_paddle.training.run import load_run

    loaded = load_run(run)
    config, network = loaded.config, loaded.network()
    if set(network.units) != set(SHARED) or config.sharing.unit != "channel":
        raise ConfigError(
            str(run),
            expected="two towers that share after pool1, pool2 and fc, by channel",
            found=f"sites {list(config.sharing.sites)}, unit {config.sharing.unit}",
            fix="give a run of configs/partial_soft.yaml",
        )
    (folder / SIZES).write_text(sizes_of(config), encoding="utf-8")
    arrays = {"mean": network.pixel_mean, "deviation": network.pixel_deviation}
    for tower, task in zip("ab", network.tasks):
        for name, weight in network.towers[task].state_dict().items():
            layer, tensor = name.split(".")
            arrays[f"{tower}.{LAYERS[layer]}.{TENSORS.get(tensor, tensor)}"] = weight
        for name, weight in network.heads[task].state_dict().items():
            arrays[f"head_{tower}.{name}"] = weight
    for site, unit in network.units.items():
        for tower in "ab":
            own, cross = unit.weights(tower)
            shape = [-1, 1, 1] if own.ndim == 2 else [-1]
            arrays[f"{site}.own_{tower}"] = own.reshape(shape)
            arrays[f"{site}.cross_{tower}"] = cross.reshape(shape)
    plain = {name: weight.numpy() for name, weight in arrays.items()}
    # Paddle's linear layers are (inputs, outputs).
    np.savez(folder / TORCH_WEIGHTS, **{n: w.T if w.ndim == 2 else w for n, w in plain.items()})


def phantom_run(folder: Path, quick: bool) -> Path:
    config = measure.CONFIGS / ("testing.yaml" if quick else "partial_soft.yaml")
    own = (f"output={folder}", "train.steps=10", "data.phantom_patients=8")
    tool("train", "-c", config, "-o", *own, "--device", "cpu")
    return folder


def tool(name: str, *words: str | Path) -> None:
    tool = measure.CONFIGS.parent / "tools" / f"{name}.py"
    command = [sys.executable, str(tool), *map(str, words)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def table(record: dict[str, Any]) -> str:
    others = list(NAMES.values())[1:]
    rows = []
    for row in record["speeds"]:
        beside = [row["beside"].get(name) for name in others]
        times = [f"{other['times_ours']:.2f} x" if other else "-" for other in beside]
        first = f"{row['threads']}, {row['batch']}"
        rows.append([first, f"{row['crops_per_s']:.0f}", f"{row['ms']:.2f}", *times])
    start = record["start"]
    about = f"Model: {record['run']}; median of {record['rounds']} interleaved rounds"
    head = ("threads, batch", "crops/s", "ms a batch", *others)
    return (
        f"{measure.page(about, record['machine'], head, rows)}\n\n"
        f"Start-up: tools/predict.py --help {start['help_s']:.2f} s, "
        f"the first prediction {start['first_prediction_s']:.2f} s."
    )


main = measure.command(__doc__, "inference.py --run output/partial_soft", benchmark, table)

if __name__ == "__main__":
    cli.run(main)
