"""Training steps of one library, in a process of its own; train_step.py asks it.

    python benchmarks/steppers.py ours|paddle|torch|compiled CONFIG MANIFEST THREADS

Each line of stdin is a number of steps; the answer is the seconds of each as one line of JSON,
and after the empty line the peak memory.  But for ours it needs NumPy, PyYAML and its library.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from memory import peak_mb
from plain_network import batch_of, build

CLASSES = (5, 6)
Step = Callable[[], Any]


def ours(config: str, manifest: str, threads: int) -> Step:
    """The step of tools/train.py: reading the batch, logged values and all."""
    from lungdx_paddle.config import load_config
    from lungdx_paddle.data.dataset import load_split
    from lungdx_paddle.runtime import set_up
    from lungdx_paddle.training.step import prepare, training_step

    loaded = load_config(config, [f"data.manifest={manifest}"])
    set_up("cpu", loaded.seed)  # LUNGDX_THREADS is set outside
    dataset, split = load_split(loaded.data, loaded.seed)
    state = prepare(loaded, dataset.subset(split.train), dataset.subset(split.test))
    return lambda: training_step(state)


def paddle(config: str, manifest: str, threads: int) -> Step:
    """A plain training step in Paddle as its wheel comes."""
    import paddle as library

    library.device.set_device("cpu")
    settings = _settings(config)
    network = build(library, settings, CLASSES)
    optimizer = library.optimizer.Adam(1e-3, parameters=network.parameters(), weight_decay=1e-5)
    images, *labels = map(library.to_tensor, batch_of(settings.batch_size, CLASSES))
    functional = library.nn.functional

    def step() -> None:
        found = network(images)
        losses = [functional.cross_entropy(x, y, ignore_index=-1) for x, y in zip(found, labels)]
        sum(losses).backward()
        optimizer.step()
        optimizer.clear_grad()
        [float(loss.detach()) for loss in losses]

    return step


def torch(config: str, manifest: str, threads: int, compiled: bool = False) -> Step:
    """The same in PyTorch."""
    import torch as library

    library.set_num_threads(threads)
    settings = _settings(config)
    network = build(library, settings, CLASSES)
    run = library.compile(network) if compiled else network
    optimizer = library.optim.Adam(network.parameters(), 1e-3, weight_decay=1e-5)
    images, *labels = map(library.from_numpy, batch_of(settings.batch_size, CLASSES))
    functional = library.nn.functional

    def step() -> None:
        found = run(images)
        losses = [functional.cross_entropy(x, y, ignore_index=-1) for x, y in zip(found, labels)]
        sum(losses).backward()
        optimizer.step()
        optimizer.zero_grad()
        [float(loss.detach()) for loss in losses]

    return step


def compiled(config: str, manifest: str, threads: int) -> Step:
    """PyTorch's compiler; its first step takes a minute."""
    return torch(config, manifest, threads, compiled=True)


STEPPERS: dict[str, Callable[[str, str, int], Step]] = {
    "ours": ours,
    "paddle": paddle,
    "torch": torch,
    "compiled": compiled,
}


def _settings(config: str) -> Any:
    """The sizes that train_step.py wrote beside the manifest."""
    with open(config, encoding="utf-8") as file:
        return SimpleNamespace(**json.load(file))


def main(name: str, config: str, manifest: str, threads: int) -> None:
    step = STEPPERS[name](config, manifest, threads)
    for _ in range(3):
        step()
    library = sys.modules.get("torch") or sys.modules["paddle"]
    say({"version": library.__version__})
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
        say({"seconds": seconds, "memory_mb": peak_mb()})


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
