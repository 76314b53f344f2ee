"""Load an exported model and compute the probabilities of crops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.data.matching import check_made_alike
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.files import UnreadableError
from lungdx_paddle.inference.sessions import open_session
from lungdx_paddle.manifest import CROP_SIZE, Manifest
from lungdx_paddle.plain_yaml import read_yaml


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

    def __repr__(self) -> str:
        return f"Predictor({str(self.folder)!r}, {self.description.get('model')}, {self.runtime})"

    @property
    def runtime(self) -> str:
        """Name of the inference runtime: ONNX Runtime, OpenVINO or oneDNN."""
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

    @property
    def crop_rule(self) -> str:
        """Rule by which the model's training crops were made: paper or context."""
        return str(self.description["input"].get("crop", "paper"))

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

    def check_crops(self, manifest: Manifest) -> None:
        """Check that a manifest's crops were made as the model's training crops were.

        Raises:
            ManifestError: by another rule, or with another HU window.
        """
        check_made_alike(manifest, self.crop_rule, self.window, "the model's")


def read_description(folder: Path) -> dict[str, Any]:
    """Read inference.yml.

    Raises:
        CheckpointError: it is missing or not what tools/export.py writes.
    """
    path, description = folder / "inference.yml", None
    found = "a file without outputs (task, classes) or input (window: center, width)"
    try:
        read = read_yaml(path)
        outputs, window = read["outputs"], read["input"]["window"]
        named = [isinstance(o["task"], str) and len(list(o["classes"])) > 0 for o in outputs]
        float(window["center"])  # any number, also 0
        if named and all(named) and float(window["width"]) > 0:
            description = dict(read)
    except UnreadableError as error:
        found = str(error)
    except (KeyError, TypeError, ValueError):
        pass
    if description is None:
        raise CheckpointError(
            str(path),
            expected="the description of an exported model",
            found=found,
            fix=f"run tools/export.py --run output/partial_soft --out {folder}",
        )
    return description
