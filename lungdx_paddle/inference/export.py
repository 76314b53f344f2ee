"""A trained run becomes an inference model: a program, its weights and inference.yml."""

from __future__ import annotations

import datetime
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import yaml
from paddle import nn

import lungdx_paddle
from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.files import write_text, writing
from lungdx_paddle.inference.fuse import fold
from lungdx_paddle.inference.onnx import require_paddle2onnx, write_onnx
from lungdx_paddle.manifest import CROP_SIZE, read_manifest
from lungdx_paddle.models.ensemble import Trained
from lungdx_paddle.settings import Config
from lungdx_paddle.training.checkpoint import BEST
from lungdx_paddle.training.run import load_run

MODEL_NAME = "inference"
DESCRIPTION = "inference.yml"


class Probabilities(nn.Layer):
    """A network whose probabilities are a tuple in the tasks' order.

    A dict would be exported in the order of its keys and lose their names.
    """

    def __init__(self, network: Trained) -> None:
        super().__init__()
        self.network = fold(network)

    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """(n, 1, 32, 32) float32 gray values, 0 to 255 -> (n, classes) for each task."""
        found = self.network.probabilities(images)
        return tuple(found[task] for task in self.network.tasks)


def export(run: Path, out: Path, weights: str = BEST, onnx: bool = False) -> list[Path]:
    """Write ``inference.json`` (from Paddle 3), ``.pdmodel``, ``.pdiparams`` and ``.yml``.

    Args:
        run: a folder that tools/train.py wrote.
        out: where to write; it exists.
        weights: best_model or latest.
        onnx: write ``inference.onnx`` too.

    Returns:
        The files written.

    Raises:
        CheckpointError: the run cannot be read.
        InstallError: paddle2onnx is asked for and not installed.
        OutputError: a file cannot be written.
    """
    if onnx:
        require_paddle2onnx()
    config, network = load_run(run, weights)
    model = Probabilities(network)
    model.eval()
    description = yaml.safe_dump(describe(config, network, weights), sort_keys=False)
    with writing(out):
        for old in _files(out):
            old.unlink()
        for form in _program_forms():
            with form:
                _save(model, out / MODEL_NAME)
    write_text(out / DESCRIPTION, description)
    if onnx:
        write_onnx(out / MODEL_NAME)
    return _files(out)


def describe(config: Config, network: Trained, weights: str) -> dict[str, Any]:
    """What one must know to use the model: classes, order of outputs, input, versions."""
    manifest = read_manifest(config.data.manifest)
    center, width = manifest.windows[0]
    tasks = LABEL_SETS[config.data.label_set].task_classes
    mean = np.asarray(network.pixel_mean.numpy())
    return {
        "model": config.name,
        "note": RESEARCH_USE,
        "input": {
            "name": "images",
            "shape": [-1, 1, CROP_SIZE, CROP_SIZE],
            "dtype": "float32",
            "values": "gray values 0 to 255 of 8-bit nodule crops",
            "window": {"center": center, "width": width, "unit": "HU"},
        },
        "normalisation": {
            "where": "inside the model: (gray - mean) / deviation, pixel by pixel",
            "mean_of_means": round(float(mean.mean()), 4),
        },
        "outputs": [
            {"task": task, "classes": list(classes), "values": "probabilities"}
            for task, classes in tasks.items()
        ],
        "training": {
            "data": _data_kind(manifest.source or "lidc"),
            "label_set": config.data.label_set,
            "split": config.data.split,
            "seed": config.seed,
            "steps": config.train.steps,
            "weights": weights,
        },
        "versions": {
            "lungdx_paddle": lungdx_paddle.__version__,
            "paddle": paddle.__version__,
            "exported": datetime.date.today().isoformat(),
        },
    }


def _program_forms() -> list[Any]:
    """Contexts in which Paddle saves a program: in its own form and in that of Paddle 2.6.

    The second is the one that OpenVINO reads, and so does Paddle 2.6.  Both name one and the
    same file of weights.
    """
    if paddle.__version__.startswith("2."):
        return [nullcontext()]
    return [nullcontext(), paddle.pir_utils.DygraphOldIrGuard()]


def _save(model: Probabilities, path: Path) -> None:
    shape = [None, 1, CROP_SIZE, CROP_SIZE]
    spec = [paddle.static.InputSpec(shape, "float32", name="images")]
    program = paddle.jit.to_static(model, input_spec=spec, full_graph=True)
    paddle.jit.save(program, str(path))
    program.forward.rollback()


def _files(out: Path) -> list[Path]:
    """The files of an exported model; one of another Paddle must not stay among them."""
    return sorted(path for path in out.iterdir() if path.name.startswith(f"{MODEL_NAME}."))


def _data_kind(source: str) -> str:
    return "phantom, made by a program: of no medical meaning" if source == "phantom" else source
