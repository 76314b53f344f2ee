"""One library that runs the model, in a process of its own; benchmarks/inference.py asks it.

    python benchmarks/runtimes.py ours|paddle|onnxruntime|torch FOLDER THREADS

It needs NumPy and its own library only.  Each line of stdin is "BATCH CALLS"; the answer is
the seconds of each call, from 8-bit crops to probabilities, as one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CROPS, ANSWERS, TORCH_WEIGHTS = "crops.npy", "answers.npz", "torch.npz"
PADDLE_ONLY = "paddle"
"""In FOLDER: the same model without the ONNX file."""
AGREEMENT_CROPS = 64

Answer = Callable[[np.ndarray], list[np.ndarray]]
"""(n, 32, 32) uint8 to the probabilities of each task."""


def ours(folder: Path, threads: int) -> Answer:
    """What tools/predict.py does."""
    from lungdx_paddle.inference.predictor import Predictor  # LUNGDX_THREADS is set outside

    predictor = Predictor(folder)
    return lambda images: list(predictor.probabilities(images).values())


def paddle(folder: Path, threads: int) -> Answer:
    """The same where there is no ONNX file, so that Paddle's own runtimes answer."""
    return ours(folder / PADDLE_ONLY, threads)


def onnxruntime(folder: Path, threads: int) -> Answer:
    import onnxruntime as runtime

    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = runtime.InferenceSession(
        str(folder / "inference.onnx"), options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(None, {"images": images[:, np.newaxis].astype(np.float32)})


def torch(folder: Path, threads: int) -> Answer:
    import torch as library
    from torch_network import load

    library.set_num_threads(threads)
    network = load(folder / TORCH_WEIGHTS)

    def answer(images: np.ndarray) -> list[np.ndarray]:
        with library.inference_mode():
            found = network(library.from_numpy(images[:, np.newaxis]).float())
            return [probabilities.numpy() for probabilities in found]

    return answer


LIBRARIES: dict[str, Callable[[Path, int], Answer]] = {
    "ours": ours,
    "paddle": paddle,
    "onnxruntime": onnxruntime,
    "torch": torch,
}


def main(name: str, folder: Path, threads: int) -> None:
    answer = LIBRARIES[name](folder, threads)
    crops = np.load(folder / CROPS)
    np.savez(folder / f"{name}_{ANSWERS}", *answer(crops[:AGREEMENT_CROPS]))
    library = sys.modules.get("lungdx_paddle") or sys.modules[name]
    say({"version": library.__version__})
    for line in sys.stdin:
        batch, calls = (int(word) for word in line.split())
        images, seconds = crops[:batch], []
        for _ in range(calls):
            start = time.perf_counter()
            answer(images)
            seconds.append(time.perf_counter() - start)
        say(seconds)


def say(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
