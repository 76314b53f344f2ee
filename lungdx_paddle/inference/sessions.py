"""Inference runtimes of an exported model: the first of ONNX Runtime, OpenVINO and oneDNN.

They are tried in the order of their speed on a CPU (docs/lab/performance.md).  All give the same
probabilities to 1e-5, which a test holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.runtime import chosen_threads, require_paddle

WEIGHTS = "inference.pdiparams"


@dataclass(frozen=True)
class Session:
    """An exported model loaded by a runtime."""

    runtime: str
    """Name of the runtime."""
    run: Callable[[np.ndarray], list[np.ndarray]]
    """(n, 1, 32, 32) float32 gray values to each task's (n, classes) probabilities."""
    portion: int
    """Crops at a time at which it is fastest.

    Large portions outgrow the processor's cache, small ones read the weights more often.  512
    crops in portions of 16, 32, 64, 128, 256 and 512 took OpenVINO 206, 198, 176, 197, 209 and
    228 ms; in portions of 64 to 512 ONNX Runtime took 225, 175, 168 and 167 ms in two threads,
    the same in one.
    """


def open_session(folder: Path) -> Session:
    """Open what tools/export.py wrote.

    With ``inference.onnx`` in the folder and ONNX Runtime installed, Paddle is not needed.

    Raises:
        CheckpointError: the folder lacks a file or holds one that cannot be read.
        InstallError: Paddle is needed and not installed.
        ConfigError: LUNGDX_THREADS is no number of threads.
    """
    program = folder / "inference.onnx"
    if not program.is_file() or not find_spec("onnxruntime"):
        return _in_paddle(folder)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = chosen_threads()
    options.log_severity_level = 3  # errors: it warns of constants that paddle2onnx leaves over
    with _reading(program, "export it again with tools/export.py --onnx"):
        session = onnxruntime.InferenceSession(
            str(program), options, providers=["CPUExecutionProvider"]
        )
    name = session.get_inputs()[0].name
    return Session("ONNX Runtime", lambda batch: list(session.run(None, {name: batch})), 256)


def _in_paddle(folder: Path) -> Session:
    paddle = require_paddle()
    from paddle import inference

    # Paddle 2.6 crashes on the program format of Paddle 3; Paddle 3 reads both.
    readable = ("json", "pdmodel") if int(paddle.__version__.split(".")[0]) >= 3 else ("pdmodel",)
    programs = [folder / f"inference.{ending}" for ending in readable]
    program = next((path for path in programs if path.is_file()), None)
    if program is None or not (folder / WEIGHTS).is_file():
        raise CheckpointError(
            str(folder),
            expected=f"inference.{' or .'.join(readable)} and {WEIGHTS}",
            found=", ".join(sorted(p.name for p in folder.iterdir())) or "an empty folder",
            fix=f"run tools/export.py again, with this Paddle ({paddle.__version__})",
        )
    runtime, other = "oneDNN", folder / "inference.pdmodel"
    settings = _on_the_cpu(program)
    settings.enable_mkldnn()  # a crop takes 2.4 ms where OpenVINO takes 1.7
    # Paddle's CPU wheels for Linux carry OpenVINO from 3.0; it reads the program of Paddle 2.6.
    if hasattr(inference.Config, "enable_openvino_engine") and other.is_file():
        openvino = _on_the_cpu(other)
        # Not the bfloat16 that it would take where the processor has it.
        openvino.enable_openvino_engine(inference.PrecisionType.Float32)
        if openvino.openvino_engine_enabled():
            runtime, settings = "OpenVINO", openvino
    # OpenVINO leaves what it compiles in a folder, by default one in the working directory.
    with tempfile.TemporaryDirectory() as compiled:
        settings.set_optim_cache_dir(compiled)
        with _reading(program, "export it again with the Paddle that is installed here"):
            predictor = inference.create_predictor(settings)
    return Session(runtime, lambda batch: _ask(predictor, batch), 64)


def _ask(predictor: Any, batch: np.ndarray) -> list[np.ndarray]:
    # Paddle's runtimes prepare themselves for each size anew and keep that: all sizes up to 64
    # took 1.8 GB of oneDNN.  So there are sizes of 1, 2, 4, ... only, and the rest stays black.
    padded = np.zeros((1 << (len(batch) - 1).bit_length(), *batch.shape[1:]), np.float32)
    padded[: len(batch)] = batch
    handle = predictor.get_input_handle(predictor.get_input_names()[0])
    handle.reshape(list(padded.shape))
    handle.copy_from_cpu(padded)
    predictor.run()
    outputs = [predictor.get_output_handle(name) for name in predictor.get_output_names()]
    return [output.copy_to_cpu()[: len(batch)] for output in outputs]


def _on_the_cpu(program: Path) -> Any:
    from paddle import inference

    settings = inference.Config(str(program), str(program.with_name(WEIGHTS)))
    settings.disable_gpu()
    settings.disable_glog_info()
    settings.set_cpu_math_library_num_threads(chosen_threads())
    return settings


@contextmanager
def _reading(program: Path, fix: str) -> Iterator[None]:
    """Turn what a runtime raises (its own kinds, by version) into one line."""
    try:
        yield
    except Exception as error:
        raise CheckpointError(
            str(program),
            expected="a model that can be read",
            found=" ".join(str(error).split())[-200:],
            fix=fix,
        ) from None
