"""Crops in, probabilities out: an exported model, run by paddle.inference."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Sequence, Tuple

import numpy as np
import yaml

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.manifest import CROP_SIZE, Manifest
from lungdx_paddle.runtime import THREADS, require_paddle

BATCH = 64
"""Crops at a time.  512 in portions of 16, 32, 64, 128, 256 and 512 take 206, 198, 176, 197, 209
and 228 ms: large ones outgrow the processor's cache, small ones read the weights more often."""

WEIGHTS = "inference.pdiparams"


class Predictor:
    """An exported model, loaded once.

    Args:
        folder: what tools/export.py wrote.

    Raises:
        CheckpointError: the folder lacks a file or holds one that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.description = read_description(folder)
        self._session = _open_model(folder)

    @property
    def tasks(self) -> Dict[str, List[str]]:
        """{task: class names}, in the order of the outputs."""
        return {output["task"]: output["classes"] for output in self.description["outputs"]}

    @property
    def window(self) -> Tuple[float, float]:
        """(centre, width) in HU of the crops that the model was trained on."""
        window = self.description["input"]["window"]
        return float(window["center"]), float(window["width"])

    def probabilities(self, images: np.ndarray) -> Dict[str, np.ndarray]:
        """{task: (n, classes) float32} of (n, 32, 32) gray values from 0 to 255.

        Raises:
            ManifestError: the images have another shape.
        """
        if images.ndim != 3 or images.shape[1:] != (CROP_SIZE, CROP_SIZE):
            raise ManifestError(
                "images",
                expected=f"an array of (n, {CROP_SIZE}, {CROP_SIZE})",
                found=str(images.shape),
                fix="give 8-bit crops as tools/preprocess.py makes them",
            )
        parts = [self._run(images[i : i + BATCH]) for i in range(0, len(images), BATCH)]
        return {
            task: np.concatenate([part[k] for part in parts])
            if parts
            else np.zeros((0, len(classes)), np.float32)
            for k, (task, classes) in enumerate(self.tasks.items())
        }

    def findings(self, images: np.ndarray) -> Iterator[Dict[str, Any]]:
        """For each image, ``{task: {"level" | "class": ..., "probabilities": [...]}}``."""
        probabilities = self.probabilities(images)
        for index in range(len(images)):
            yield {
                task: as_finding(task, classes, probabilities[task][index])
                for task, classes in self.tasks.items()
            }

    def check_window(self, manifest: Manifest) -> None:
        """See that a manifest's gray values mean what the model's training images' did.

        Raises:
            ManifestError: they were made with another HU window.
        """
        others = [window for window in manifest.windows if window != self.window]
        if others:
            raise ManifestError(
                str(manifest.folder),
                expected="crops with the model's window {:g}/{:g} HU".format(*self.window),
                found="{:g}/{:g}".format(*others[0]),
                fix="preprocess with --window {:g},{:g}".format(*self.window),
            )

    def _run(self, images: np.ndarray) -> List[np.ndarray]:
        # A runtime prepares itself for each size anew and keeps that: all sizes up to 64 took
        # 1.8 GB of oneDNN.  So there are sizes of 1, 2, 4, ... only, and the rest stays black.
        size = 1 << (len(images) - 1).bit_length()
        batch = np.zeros((size, 1, *images.shape[1:]), np.float32)
        batch[: len(images), 0] = images
        handle = self._session.get_input_handle(self._session.get_input_names()[0])
        handle.reshape(list(batch.shape))
        handle.copy_from_cpu(batch)
        self._session.run()
        names = self._session.get_output_names()
        outputs = [self._session.get_output_handle(name).copy_to_cpu() for name in names]
        return [output[: len(images)] for output in outputs]


def as_finding(task: str, classes: Sequence[str], probabilities: np.ndarray) -> Dict[str, Any]:
    """One task's answer in plain values: the likeliest class and every probability."""
    best = classes[int(np.argmax(probabilities))]
    answer = {"level": int(best)} if task == MALIGNANCY else {"class": best}
    return {**answer, "probabilities": [round(float(p), 6) for p in probabilities]}


def read_description(folder: Path) -> Dict[str, Any]:
    """Read inference.yml.

    Raises:
        CheckpointError: it is missing or not what tools/export.py writes.
    """
    path = folder / "inference.yml"
    found = ""
    description: Any = None
    try:
        description = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        found = error.strerror or str(error)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
    if not found and not (isinstance(description, dict) and "outputs" in description):
        found = "a file without outputs"
    if found:
        raise CheckpointError(
            str(path),
            expected="the description of an exported model",
            found=found,
            fix="run tools/export.py --run output/partial_soft --out " + str(folder),
        )
    return dict(description)


def _open_model(folder: Path) -> Any:
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
    settings = _with_openvino(folder) or _with_onednn(program)
    try:
        # OpenVINO leaves what it compiles in a folder, by default one in the working directory.
        with tempfile.TemporaryDirectory() as compiled:
            settings.set_optim_cache_dir(compiled)
            return inference.create_predictor(settings)
    except Exception as error:  # paddle raises its own kinds, by version
        raise CheckpointError(
            str(program),
            expected="a model that this Paddle can read",
            found=" ".join(str(error).split())[-200:],
            fix="export it again with the Paddle that is installed here",
        ) from None


def _with_openvino(folder: Path) -> Any:
    """Settings with which OpenVINO runs the model, or None.

    Paddle's CPU wheels for Linux carry it from 3.0.  It reads the program format of Paddle 2.6.
    """
    from paddle import inference

    program = folder / "inference.pdmodel"
    if not (hasattr(inference.Config, "enable_openvino_engine") and program.is_file()):
        return None
    settings = _on_the_cpu(program)
    # Not the bfloat16 that it would take where the processor has it.
    settings.enable_openvino_engine(inference.PrecisionType.Float32)
    return settings if settings.openvino_engine_enabled() else None


def _with_onednn(program: Path) -> Any:
    """Settings for every other Paddle: a crop takes 2.4 ms where OpenVINO takes 1.7."""
    settings = _on_the_cpu(program)
    settings.enable_mkldnn()
    return settings


def _on_the_cpu(program: Path) -> Any:
    from paddle import inference

    settings = inference.Config(str(program), str(program.with_name(WEIGHTS)))
    settings.disable_gpu()
    settings.disable_glog_info()
    settings.set_cpu_math_library_num_threads(int(os.environ[THREADS]))
    return settings
