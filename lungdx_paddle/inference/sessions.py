"""Inference runtimes of an exported model: the first of ONNX Runtime, OpenVINO and oneDNN.

They are tried in the order of their speed on a CPU (docs/lab/performance.md).  All give the same
probabilities to 1e-5, which a test holds.
"""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.errors import CheckpointError, InstallError
from lungdx_paddle.files import read_file
from lungdx_paddle.inference.description import Description
from lungdx_paddle.runtime import chosen_threads, require_paddle

ONNX, WEIGHTS = "inference.onnx", "inference.pdiparams"

MOST_NAMES = 10
"""Names of files in a message."""


@dataclass(frozen=True)
class Session:
    """An exported model loaded by a runtime."""

    runtime: str
    """Name of the runtime."""
    run: Callable[[np.ndarray], list[np.ndarray]]
    """(n, 1, 32, 32) float32 gray values to each task's (n, classes) probabilities; from any
    number of threads."""
    portion: int
    """Crops at a time at which it is fastest.

    Large portions outgrow the processor's cache, small ones read the weights more often.  512
    crops in portions of 16, 32, 64, 128, 256 and 512 took OpenVINO 206, 198, 176, 197, 209 and
    228 ms; in portions of 64 to 512 ONNX Runtime took 225, 175, 168 and 167 ms in two threads,
    the same in one.
    """
    note: str = ""
    """Why a faster runtime, which is installed, does not run it."""


def open_session(model: Description, at_once: int = 1) -> Session:
    """Open what tools/export.py wrote.

    With ``inference.onnx`` in the folder and ONNX Runtime installed, Paddle is not needed.
    Where ONNX Runtime is installed and cannot be imported, Paddle answers.

    Args:
        model: what is in the folder.
        at_once: calls from so many threads are computed at once, and share the cores.

    Raises:
        CheckpointError: the folder lacks a file, or holds one that cannot be read or is not of
            the same export.
        InstallError: Paddle is needed and not installed, or neither can be imported.
        ConfigError: LUNGDX_THREADS is no number of threads.
    """
    if not model.has(ONNX):
        return _in_paddle(model, at_once)
    try:
        from onnxruntime import InferenceSession, SessionOptions
    except Exception as error:  # a broken installation raises anything
        if isinstance(error, ModuleNotFoundError) and error.name == "onnxruntime":
            return _in_paddle(model, at_once)
        return _instead_of_onnx(
            model, at_once, f"{type(error).__name__}: {' '.join(str(error).split())}"
        )
    program = model.file(ONNX)
    options = SessionOptions()
    options.intra_op_num_threads = _threads_each(at_once)
    options.log_severity_level = 3  # errors: it warns of constants that paddle2onnx leaves over
    with _reading(program, "export it again with tools/export.py --onnx"):
        session = InferenceSession(str(program), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return Session("ONNX Runtime", lambda batch: list(session.run(None, {name: batch})), 256)


def _instead_of_onnx(model: Description, at_once: int, problem: str) -> Session:
    """Open the model with Paddle, as ONNX Runtime has a problem."""
    mend = "pip install --force-reinstall onnxruntime (or pip uninstall onnxruntime"
    try:
        session = _in_paddle(model, at_once)
    except InstallError as error:
        raise InstallError(
            "onnxruntime",
            expected="that it can be imported, since Paddle is not there either",
            found=problem,
            fix=f"{mend}, and install Paddle)",
        ) from error
    note = f"ONNX Runtime cannot be imported ({problem}); Paddle answers; to mend it: {mend})"
    return replace(session, note=note)


def _in_paddle(model: Description, at_once: int) -> Session:
    paddle = require_paddle()
    from paddle import inference

    # Paddle 2.6 crashes on the program format of Paddle 3; Paddle 3 reads both.
    readable = ("json", "pdmodel") if int(paddle.__version__.split(".")[0]) >= 3 else ("pdmodel",)
    names = [name for ending in readable if model.has(name := f"inference.{ending}")]
    if not names or not model.has(WEIGHTS):
        there = sorted(p.name for p in model.folder.iterdir())
        raise CheckpointError(
            str(model.folder),
            expected=f"inference.{' or .'.join(readable)} and {WEIGHTS}",
            found=", ".join(there[:MOST_NAMES]),
            fix=f"run tools/export.py again, with this Paddle ({paddle.__version__})",
        )
    program, _, of_2_6 = map(model.file, (names[0], WEIGHTS, names[-1]))
    runtime, settings = "oneDNN", _on_the_cpu(program, at_once)
    settings.enable_mkldnn()  # a crop takes 2.4 ms where OpenVINO takes 1.7
    if of_2_6.suffix == ".pdmodel":
        # Paddle's runtimes crash on what is no program; its parser raises.
        with _reading(of_2_6, "export it again with tools/export.py"):
            paddle.base.core.ProgramDesc(read_file(of_2_6))
        # Paddle's CPU wheels for Linux carry OpenVINO from 3.0; it reads the program of Paddle 2.6.
        if hasattr(inference.Config, "enable_openvino_engine"):
            openvino = _on_the_cpu(of_2_6, at_once)
            # Not the bfloat16 that it would take where the processor has it.
            openvino.enable_openvino_engine(inference.PrecisionType.Float32)
            if openvino.openvino_engine_enabled():
                runtime, settings = "OpenVINO", openvino
    # OpenVINO leaves what it compiles in a folder, by default one in the working directory.
    with tempfile.TemporaryDirectory() as compiled:
        settings.set_optim_cache_dir(compiled)
        with _reading(program, "export it again with the Paddle that is here, or reinstall Paddle"):
            first = inference.create_predictor(settings)
            predictors = [first, *(first.clone() for _ in range(at_once - 1))]
    # Of Paddle's predictor the threads of a process share one input and one output: two of them
    # at once would get each other's answers, and no error.  So each call has one to itself.
    idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for predictor in predictors:
        idle.put(predictor)

    def ask(batch: np.ndarray) -> list[np.ndarray]:
        predictor = idle.get()
        try:
            return _ask(predictor, batch)
        finally:
            idle.put(predictor)

    return Session(runtime, ask, 64)


def _threads_each(at_once: int) -> int:
    return max(1, chosen_threads() // at_once)


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


def _on_the_cpu(program: Path, at_once: int) -> Any:
    from paddle import inference

    settings = inference.Config(str(program), str(program.with_name(WEIGHTS)))
    settings.disable_gpu()
    settings.disable_glog_info()
    settings.set_cpu_math_library_num_threads(_threads_each(at_once))
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
