"""Crops in, probabilities out: an exported model and what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.inference.sessions import open_session
from lungdx_paddle.manifest import CROP_SIZE, Manifest


class Predictor:
    """An exported model, loaded once.

    Args:
        folder: what tools/export.py wrote.

    Raises:
        CheckpointError: the folder lacks a file or holds one that cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.description = read_description(folder)
        self._session = open_session(folder)

    @property
    def runtime(self) -> str:
        """What computes the answers: ONNX Runtime, OpenVINO or oneDNN."""
        return self._session.runtime

    @property
    def tasks(self) -> dict[str, list[str]]:
        """{task: class names}, in the order of the outputs."""
        return {output["task"]: output["classes"] for output in self.description["outputs"]}

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU of the crops that the model was trained on."""
        window = self.description["input"]["window"]
        return float(window["center"]), float(window["width"])

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
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
        step = self._session.portion
        parts = [
            self._run(images[i : i + step, np.newaxis].astype(np.float32))
            for i in range(0, len(images), step)
        ]
        return {
            task: np.concatenate([part[k] for part in parts])
            if parts
            else np.zeros((0, len(classes)), np.float32)
            for k, (task, classes) in enumerate(self.tasks.items())
        }

    def findings(self, images: np.ndarray) -> Iterator[dict[str, Any]]:
        """For each image, ``{task: {"level" | "class": ..., "probabilities": [...]}}``."""
        probabilities = self.probabilities(images)
        for index in range(len(images)):
            yield {
                task: as_finding(task, classes, probabilities[task][index])
                for task, classes in self.tasks.items()
            }

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            found = self._session.run(batch)
            gives = str([answer.shape[-1] for answer in found])
        except Exception as error:  # each runtime raises its own kinds
            gives = " ".join(str(error).split())[-200:]
        described = [len(classes) for classes in self.tasks.values()]
        if gives != str(described):
            raise CheckpointError(
                str(self.folder),
                expected=f"a model of {CROP_SIZE}x{CROP_SIZE} crops with {described} classes, as "
                "inference.yml says",
                found=gives,
                fix="these files are not of one export; run tools/export.py again",
            )
        return found

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


def _is_description(read: Any) -> bool:
    try:
        outputs, window = read["outputs"], read["input"]["window"]
        named = [isinstance(o["task"], str) and len(list(o["classes"])) > 0 for o in outputs]
        float(window["center"])  # any number, also 0
        return bool(named) and all(named) and float(window["width"]) > 0
    except (KeyError, TypeError, ValueError):
        return False


def as_finding(task: str, classes: Sequence[str], probabilities: np.ndarray) -> dict[str, Any]:
    """One task's answer in plain values: the likeliest class and every probability."""
    best = classes[int(np.argmax(probabilities))]
    answer = {"level": int(best)} if task == MALIGNANCY else {"class": best}
    return {**answer, "probabilities": [round(float(p), 6) for p in probabilities]}


def read_description(folder: Path) -> dict[str, Any]:
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
    if not found and not _is_description(description):
        found = "a file without outputs (task, classes) or input (window: center, width)"
    if found:
        raise CheckpointError(
            str(path),
            expected="the description of an exported model",
            found=found,
            fix="run tools/export.py --run output/partial_soft --out " + str(folder),
        )
    return dict(description)
