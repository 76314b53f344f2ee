"""Load an exported model and compute the probabilities of crops."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.data.matching import check_made_alike
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.inference.description import read_description
from lungdx_paddle.inference.sessions import open_session
from lungdx_paddle.manifest import CROP_SIZE, Manifest

SUM_TOLERANCE = 1e-3
"""Of the probabilities of a task: hundreds of times what float32 rounds."""


class Predictor:
    """An exported model, loaded once.

    Args:
        folder: what tools/export.py wrote.
        at_once: portions of many crops that are computed at once, in threads of their own,
            each on its part of the cores: one a core is fastest for thousands of crops, 1 for
            a few.  The answers are those of one thread, to the bit.

    Raises:
        CheckpointError: the folder lacks a file, or holds one that cannot be read or is not of
            the same export.
        InstallError: no runtime that reads the model can be imported.
    """

    def __init__(self, folder: Path, at_once: int = 1) -> None:
        self.folder, self._at_once = folder, at_once
        self._described = read_description(folder)
        self.calibration: Calibration = self._described.calibration
        self._session = open_session(self._described, at_once)

    def __repr__(self) -> str:
        return f"Predictor({str(self.folder)!r}, {self._described.name}, {self.runtime})"

    @property
    def description(self) -> Mapping[str, Any]:
        """The content of ``inference.yml``."""
        return self._described.values

    @property
    def runtime(self) -> str:
        """Name of the inference runtime: ONNX Runtime, OpenVINO or oneDNN."""
        return self._session.runtime

    @property
    def notes(self) -> list[str]:
        """What a user should know about the folder and the runtime; none where all is well."""
        notes = [self._session.note] if self._session.note else []
        if not self._described.digests:
            notes.append(
                f"{self.folder} has no digests of its files, as an earlier version exported it: "
                "damage, or files of two exports, cannot be seen; run tools/export.py again"
            )
        return notes

    @property
    def tasks(self) -> dict[str, list[str]]:
        """{task: class names}, in the order of the outputs."""
        return self._described.tasks

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU of the crops that the model was trained on.

        Raises:
            CheckpointError: there is none, since their gray values were no HU.
        """
        return self._described.window

    @property
    def crop_rule(self) -> str:
        """Rule by which the model's training crops were made: paper or context."""
        return self._described.crop_rule

    def has_trained_on(self, series_uid: str) -> bool:
        """Whether a CT is among those that the model was trained on, as far as it is known."""
        return self._described.has_trained_on(series_uid)

    def probabilities(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """{task: (n, classes) float32} of (n, 32, 32) gray values from 0 to 255, calibrated.

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
        batches = [images[i : i + step, np.newaxis] for i in range(0, len(images), step)]
        if min(self._at_once, len(batches)) > 1:
            with ThreadPoolExecutor(self._at_once) as pool:
                parts = list(pool.map(self._run, batches))
        else:
            parts = list(map(self._run, batches))
        found = {
            task: np.concatenate([part[k] for part in parts])
            if parts
            else np.zeros((0, len(classes)), np.float32)
            for k, (task, classes) in enumerate(self.tasks.items())
        }
        return self.calibration.probabilities(found)

    def _run(self, batch: np.ndarray) -> list[np.ndarray]:
        try:
            found = self._session.run(batch.astype(np.float32))
            gives = str([answer.shape[-1] for answer in found])
        except Exception as error:  # each runtime raises its own kinds
            found, gives = [], " ".join(str(error).split())[-200:]
        described = [len(classes) for classes in self.tasks.values()]
        if gives != str(described):
            raise CheckpointError(
                str(self.folder),
                expected=f"a model of {CROP_SIZE}x{CROP_SIZE} crops with {described} classes, as "
                "inference.yml says",
                found=gives,
                fix="these files are not of one export; run tools/export.py again",
            )
        if not all(map(_are_probabilities, found)):
            raise CheckpointError(
                str(self.folder),
                expected="a model whose answers are probabilities",
                found="answers that are not, such as NaN",
                fix="its weights are broken; train again, then run tools/export.py",
            )
        return found

    def check_crops(self, manifest: Manifest) -> None:
        """Check that a manifest's crops were made as the model's training crops were.

        Raises:
            ManifestError: by another rule, with another HU window, or not in HU.
        """
        check_made_alike(manifest, self.crop_rule, self._described.gray, "the model's")


def _are_probabilities(answers: np.ndarray) -> bool:
    """Whether each row of (n, classes) is of numbers from 0 to 1 with a sum of 1.  NaN is none."""
    sums = answers.sum(axis=-1)
    return bool((answers >= -SUM_TOLERANCE).all() and (np.abs(sums - 1) <= SUM_TOLERANCE).all())
