"""Export a trained run as an inference model: a program, its weights and inference.yml."""

from __future__ import annotations

import dataclasses
import datetime
import pickle
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import paddle
import yaml
from paddle import nn
from safetensors.numpy import save

import lungdx_paddle
from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY, TASKS
from lungdx_paddle.disk import sync
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.files import write_text, write_together, writing
from lungdx_paddle.inference.card_data import PHANTOM, collection_name, is_public
from lungdx_paddle.inference.description import (
    NAME,
    SHA256,
    TRAINING_SERIES,
    series_digest,
    sha256_of,
)
from lungdx_paddle.inference.fuse import fuse
from lungdx_paddle.inference.model_card import CARD, Evidence, model_card
from lungdx_paddle.inference.onnx import require_paddle2onnx, write_onnx
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.manifest_cells import STRETCHED
from lungdx_paddle.models.ensemble import Trained
from lungdx_paddle.runtime import set_up
from lungdx_paddle.training.held_out import steady
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_calibration import calibration_of
from lungdx_paddle.training.split_record import TEST

MODEL_NAME = "inference"
WEIGHTS = "weights.pdparams"
"""The network before fusing, for ``paddle.load``."""
SAFE_WEIGHTS = "weights.safetensors"
"""The same as safetensors, for who reads arrays without Paddle."""
MISTAKES = {task: f"mistakes_{task}.png" for task in TASKS}
"""{task: picture of its worst mistakes, beside the model card}."""
CALL_STACK = "op_callstack"
"""Attribute of an operator in a program of Paddle 2.6."""


class Probabilities(nn.Layer):
    """A network whose probabilities are a tuple in the tasks' order.

    A dict would be exported in the order of its keys and lose their names.
    """

    def __init__(self, network: Trained) -> None:
        super().__init__()
        self.network = fuse(network)

    @paddle.jit.not_to_static  # called as it is: with no branch on data, translating it adds 2 s
    def forward(self, images: paddle.Tensor) -> tuple[paddle.Tensor, ...]:
        """(n, 1, 32, 32) float32 gray values, 0 to 255 -> (n, classes) for each task."""
        found = self.network.probabilities(images)
        return tuple(found[task] for task in self.network.tasks)


Draw = Callable[[Predictions, str, bool, Path], bool]
"""(mistakes with their images, task, whether their collection is public, file): draws them into
that PNG, unless that is not wanted, and returns whether it did."""


def export(
    run: Run, out: Path, onnx: bool = False, safetensors: bool = False, draw: Draw | None = None
) -> list[Path]:
    """Export the weights that a run was evaluated with.

    Writes ``inference.json`` (from Paddle 3), ``.pdmodel``, ``.pdiparams`` and ``.yml``,
    ``weights.pdparams`` for ``paddle.load``, ``training_series.txt`` and ``MODEL_CARD.md``.  The
    run's crops are not needed; without them the card has no pictures of its worst mistakes.

    Args:
        run: a training with a checkpoint.
        out: where to write; it exists.
        onnx: write ``inference.onnx`` too.
        safetensors: write ``weights.safetensors`` too, the arrays of ``weights.pdparams``.
        draw: draws the card's pictures; None: it has none.

    Returns:
        The files written.

    Raises:
        CheckpointError: the run has no weights.
        InstallError: ``onnx``, and paddle2onnx is not installed.
        OutputError: a file cannot be written.
    """
    if onnx:
        require_paddle2onnx()
    set_up("cpu", run.config.seed)
    network, description, evidence = steady(
        run, lambda: (run.network(), describe(run), Evidence.of(run))
    )
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    model = Probabilities(network)
    model.eval()
    with writing(out):
        for old in _files(out):
            old.unlink()
        paddle.save(weights, str(out / WEIGHTS))
        if safetensors:
            arrays = {name: value.numpy() for name, value in weights.items()}
            write_together({out / SAFE_WEIGHTS: save(arrays)})
        _save_program(model, out)
        write_text(out / TRAINING_SERIES, "\n".join([*_training_series(run), ""]))
        sync(_files(out))
    if onnx:
        write_onnx(out / MODEL_NAME)
    # Of what a runtime reads: the card and its pictures are for people, who may edit them.
    description[SHA256] = {path.name: sha256_of(path) for path in _files(out)}
    write_text(out / NAME, yaml.safe_dump(description, sort_keys=False))
    public = is_public(collection_name(run.record.manifest))
    drawn = {
        task: MISTAKES[task]
        for task, worst in evidence.worst.items()
        if draw and len(worst) and worst.images is not None
        if draw(worst, task, public, out / MISTAKES[task])
    }
    write_text(out / CARD, model_card(run, description, evidence, drawn))
    return _files(out)


def _training_series(run: Run) -> list[str]:
    """Digests of the CTs that a network of the run has seen, sorted."""
    trained = zip(run.record.rows, run.record.parts)
    uids = {row.series_uid for row, part in trained if part != TEST and row.series_uid}
    return sorted(map(series_digest, uids))


def _save_program(model: nn.Layer, out: Path) -> None:
    """Write the program in Paddle's own form and in that of Paddle 2.6, which OpenVINO reads, too.

    Both name one and the same file of weights.
    """
    forms = [nullcontext()]
    if not paddle.__version__.startswith("2."):
        forms.append(paddle.pir_utils.DygraphOldIrGuard())
    for form in forms:
        with form, warnings.catch_warnings():
            # In the older form Paddle warns of a change made in Paddle 2.0 at each sum of tensors.
            warnings.filterwarnings("ignore", "(?s).*elementwise_add", DeprecationWarning)
            spec = paddle.static.InputSpec([None, 1, CROP_SIZE, CROP_SIZE], name="images")
            program = paddle.jit.to_static(model, input_spec=[spec], full_graph=True)
            paddle.jit.save(program, str(out / MODEL_NAME))
            program.forward.rollback()
    _remove_call_stacks(out / f"{MODEL_NAME}.pdmodel")
    _sort_variables(out / f"{MODEL_NAME}.pdiparams.info")


def _remove_call_stacks(program: Path) -> None:
    """Remove Paddle's notes of where each operator was made: they name this machine's folders."""
    parsed = paddle.base.core.ProgramDesc(program.read_bytes())
    for block in map(parsed.block, range(parsed.num_blocks())):
        for operator in map(block.op, range(block.op_size())):
            operator.remove_attr(CALL_STACK)
    write_together({program: parsed.serialize_to_string()})


def _sort_variables(info: Path) -> None:
    """Sort Paddle's facts of each variable by name; Paddle 2.6 writes them in the order of a set.

    So a run is the same model to the byte in each new process (tests/kills.py).
    """
    variables = dict(sorted(pickle.loads(info.read_bytes()).items()))
    write_together({info: pickle.dumps(variables, protocol=2)})


def describe(run: Run) -> dict[str, Any]:
    """Description of an exported model, the content of ``inference.yml``.

    Input, classes in the order of the outputs, the calibration of a cross-validation, what it was
    trained on, its scores, and the digests of weights, settings and crops; those of the exported
    files come to it when they are written.
    """
    crops = run.record.manifest
    center, width = crops.rows[0].window
    unit = STRETCHED if crops.grays == [STRETCHED] else "HU"
    collection = collection_name(crops)
    tasks = LABEL_SETS[run.config.data.label_set].task_classes
    calibration = calibration_of(run)
    return {
        "model": run.config.name,
        "note": RESEARCH_USE,
        "input": {
            "name": "images",
            "shape": [-1, 1, CROP_SIZE, CROP_SIZE],
            "dtype": "float32",
            "values": "gray values 0 to 255 of 8-bit nodule crops; normalised inside the model",
            "crop": crops.crop_rules[0],
            "window": {"center": center, "width": width, "unit": unit},
        },
        "outputs": [
            {"task": task, "classes": list(classes), "values": "probabilities"}
            for task, classes in tasks.items()
        ],
        **({"calibration": calibration.shipped.to_dict()} if calibration else {}),
        "training": {
            "data": collection + ", made by a program: of no medical meaning"
            if collection == PHANTOM
            else collection,
            "label_set": run.config.data.label_set,
            "split": run.config.data.split,
            "split_seed": run.config.data.split_seed,
            "seed": run.config.seed,
            "step": run.step,
            "networks": len(run.members),
            "digests": dataclasses.asdict(run.digests),
        },
        "scores": _scores(run),
        "versions": {
            "lungdx_paddle": lungdx_paddle.__version__,
            "paddle": paddle.__version__,
            "exported": datetime.date.today().isoformat(),
        },
    }


def _scores(run: Run) -> dict[str, Any]:
    """The scores of these very weights on the held-out crops, or why there are none."""
    try:
        metrics = run.metrics
    except CheckpointError:
        return {"none": f"the training is at step {run.step} of {run.config.train.steps}"}
    nodule = metrics.test.nodule
    shown = {
        "malignancy_within_one_by_nodule": nodule[MALIGNANCY].within_one,
        "malignancy_quadratic_kappa_by_nodule": nodule[MALIGNANCY].quadratic_kappa,
        "malignancy_auc_by_nodule": nodule[MALIGNANCY].auc,
        **{
            f"{task}_{name}_by_nodule": getattr(scores, name)
            for task, scores in nodule.items()
            for name in ("balanced_accuracy", "ece")
            if getattr(scores, name)
        },
        "diagnosis_auc_by_patient": metrics.test.diagnosis["malignant"]["level"],
    }
    return {
        "part": metrics.part,
        "patients": metrics.test.patients,
        "accuracy_by_nodule": {task: s.accuracy.to_dict() for task, s in nodule.items()},
        **{name: score and score.to_dict() for name, score in shown.items()},
    }


def _files(out: Path) -> list[Path]:
    """The files of a model exported into ``out``, by any version of Paddle."""
    names = (WEIGHTS, SAFE_WEIGHTS, TRAINING_SERIES, CARD, *MISTAKES.values())
    return sorted(
        path
        for path in out.iterdir()
        if path.name in names or path.name.startswith(f"{MODEL_NAME}.")
    )
