"""Benchmark worker: times one library in its own process, for train_step.py and inference.py.

    python benchmarks/libraries.py train ours|paddle|torch|compiled CONFIG_OR_SIZES MANIFEST THREADS
    python benchmarks/libraries.py infer ours|paddle|onnxruntime|torch FOLDER THREADS

Each line of stdin is a number of calls; the reply is a line of JSON with the seconds of each and
the peak memory.  Except for ours it needs only NumPy and the library.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from plain_network import batch_of, build

CLASSES = (5, 6)
CROPS, ANSWERS, TORCH_WEIGHTS, SIZES = "crops.npy", "answers.npz", "torch.npz", "sizes.json"
"""Files in the folder of the exported model: inputs, a library's outputs, and for PyTorch."""
PADDLE_ONLY = "paddle"
"""In that folder: the same model without the ONNX file."""
AGREEMENT_CROPS = 64

Step = Callable[[], Any]
Work = Callable[[str], tuple[Step, int]]  # a line of stdin: what is timed, and how often
Answer = Callable[[np.ndarray], list[np.ndarray]]  # (n, 32, 32) uint8: each task's probabilities


def train_ours(config: str, manifest: str) -> Step:
    """The step of tools/train.py: reading the batch, logged values and all."""
    from lungdx_paddle.config import load_config
    from lungdx_paddle.data.dataset import load_dataset, split_of
    from lungdx_paddle.runtime import set_up
    from lungdx_paddle.training.step import prepare, training_step

    loaded = load_config(config, [f"data.manifest={manifest}"])
    set_up("cpu", loaded.seed)  # LUNGDX_THREADS is set outside
    dataset = load_dataset(loaded.data)
    split = split_of(dataset, loaded.data)
    state = prepare(loaded, dataset.subset(split.train), dataset.subset(split.test))
    return lambda: training_step(state)


def train_plain(name: str, sizes_file: str, threads: int) -> Step:
    """A plain step on a batch that lies ready, the same text for Paddle as it comes and PyTorch."""
    library: Any = importlib.import_module("paddle" if name == "paddle" else "torch")
    sizes = read_sizes(sizes_file)
    if name == "paddle":
        library.device.set_device("cpu")
        network = build(library, sizes, CLASSES)
        adam = library.optimizer.Adam(1e-3, parameters=network.parameters(), weight_decay=1e-5)
        tensor, clear_gradients = library.to_tensor, adam.clear_grad
    else:
        library.set_num_threads(threads)
        network = build(library, sizes, CLASSES)
        adam = library.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-5)
        tensor, clear_gradients = library.from_numpy, adam.zero_grad
    forward = library.compile(network) if name == "compiled" else network
    images, *labels = map(tensor, batch_of(sizes.batch_size, CLASSES))
    cross_entropy = library.nn.functional.cross_entropy

    def step() -> None:
        found = forward(images)
        losses = [cross_entropy(x, y, ignore_index=-1) for x, y in zip(found, labels)]
        sum(losses).backward()
        adam.step()
        clear_gradients()
        [float(loss.detach()) for loss in losses]

    return step


def infer_ours(folder: Path, threads: int, at_once: int = 1) -> Answer:
    """What tools/predict.py does."""
    from lungdx_paddle.inference.predictor import Predictor  # LUNGDX_THREADS is set outside

    predictor = Predictor(folder, at_once)
    return lambda images: list(predictor.probabilities(images).values())


def infer_onnxruntime(folder: Path, threads: int) -> Answer:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        str(folder / "inference.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images[:, np.newaxis].astype(np.float32)})


def infer_torch(folder: Path, threads: int) -> Answer:
    """The plain network in PyTorch, with the run's weights."""
    import torch

    torch.set_num_threads(threads)
    with np.load(folder / TORCH_WEIGHTS) as arrays:
        weights = {name: torch.from_numpy(arrays[name]) for name in arrays}
    classes = tuple(len(weights[f"head_{tower}.bias"]) for tower in "ab")
    network = build(torch, read_sizes(folder / SIZES), classes, bias=False)
    missing, unexpected = network.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing)
    network.eval()

    def answer(images: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            found = network(torch.from_numpy(images[:, np.newaxis]).float())
            return [torch.softmax(logits, dim=1).numpy() for logits in found]

    return answer


INFER: dict[str, Callable[[Path, int], Answer]] = {
    "ours": infer_ours,
    "at_once": lambda folder, threads: infer_ours(folder, threads, threads),
    "paddle": lambda folder, threads: infer_ours(folder / PADDLE_ONLY, threads),
    "onnxruntime": infer_onnxruntime,
    "torch": infer_torch,
}


def read_sizes(path: str | Path) -> Any:
    return SimpleNamespace(**json.loads(Path(path).read_text(encoding="utf-8")))


def peak_mb() -> float:
    """Peak resident memory of this process in MB; not a number where there is no /proc."""
    status = Path("/proc/self/status")
    if not status.exists():  # not getrusage: a new process's peak begins with its parent's
        return float("nan")
    return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 1024


def train(name: str, config: str, manifest: str, threads: str) -> Work:
    """A line is a number of steps."""
    ours = name == "ours"
    step = train_ours(config, manifest) if ours else train_plain(name, config, int(threads))
    for _ in range(3):
        step()
    return lambda line: (step, int(line))


def infer(name: str, folder: str, threads: str) -> Work:
    """A line is "BATCH CALLS"; first, the crops on which all libraries must agree."""
    answer = INFER[name](Path(folder), int(threads))
    crops = np.load(Path(folder) / CROPS)
    np.savez(Path(folder) / f"{name}_{ANSWERS}", *answer(crops[:AGREEMENT_CROPS]))

    def work(line: str) -> tuple[Step, int]:
        batch, calls = (int(word) for word in line.split())
        return partial(answer, crops[:batch]), calls

    return work


def main(what: str, name: str, *arguments: str) -> None:
    work = {"train": train, "infer": infer}[what](name, *arguments)
    ours = "lungdx_paddle"
    module = {"ours": ours, "at_once": ours, "compiled": "torch"}.get(name, name)
    print(json.dumps({"version": sys.modules[module].__version__}), flush=True)
    for line in sys.stdin:
        call, times = work(line)
        seconds = []
        for _ in range(times):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        print(json.dumps({"seconds": seconds, "memory_mb": peak_mb()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
