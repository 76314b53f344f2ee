"""Findings: an exported model's predictions for crops and for the rows of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lungdx_paddle.data.images import read_crop, read_images
from lungdx_paddle.data.labels import LEVEL_WORDS, MALIGNANCY
from lungdx_paddle.evaluation.calibration import expected_level, level_class
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.manifest import read_manifest

if TYPE_CHECKING:  # a prediction from crops does without pydicom and SciPy
    from lungdx_paddle.lidc.regions import Region


@dataclass(frozen=True)
class Finding:
    """A model's prediction for one crop or one nodule."""

    about: Mapping[str, Any]
    """The crop or nodule: image, patient_id, nodule, or series_uid, nodule, slices, place_mm."""
    classes: Mapping[str, Sequence[str]]
    """{task: class names}."""
    probabilities: Mapping[str, np.ndarray] | None
    """{task: (classes,)}, the mean over the nodule's slices as :func:`slice_weights` has it; None
    where no slice is there."""
    warnings: tuple[str, ...] = ()
    """What is doubtful: sentences about the series, and about the nodule."""
    cuts: tuple[float, ...] = ()
    """The model's, of the expected level; empty: the level is the likeliest class."""
    region: Region | None = None
    """The nodule's pixels, where it was found in a CT."""
    images: np.ndarray | None = None
    """(slices, 32, 32) uint8: its crops, from the caudal end; None where no slice is there."""
    occlusion: Mapping[str, np.ndarray] | None = None
    """{task: (32, 32)}: how much the answer falls where a pixel is covered, as
    :func:`~lungdx_paddle.inference.occlusion.explained` found it: of the expected level in
    levels, of the likeliest class's probability."""

    def __repr__(self) -> str:
        answers = ", ".join(f"{task} {self.answer(task)}" for task in self.classes)
        return f"Finding({dict(self.about)}: {answers})"

    def answer(self, task: str) -> str | None:
        """The likeliest class of a task, or the level by the cuts; None without a slice."""
        if self.probabilities is None:
            return None
        p = self.probabilities[task]
        by_cuts = task == MALIGNANCY and self.cuts
        best = level_class(expected_level(p), self.cuts) if by_cuts else np.argmax(p)
        return self.classes[task][int(best)]

    @property
    def expected_level(self) -> float | None:
        """The expected malignancy level, from 1 to 5; None without a slice."""
        if self.probabilities is None:
            return None
        return float(expected_level(self.probabilities[MALIGNANCY]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: ``about``, then per task its level or class and probabilities.

        ``warnings`` stand behind them, if there are some.
        """
        entries = dict(self.about)
        for task, p in (self.probabilities or {}).items():
            best = self.answer(task)
            entries[task] = {"class": best}
            if task == MALIGNANCY:
                expected = round(self.expected_level or 0.0, 3)
                word = LEVEL_WORDS[best or ""]
                entries[task] = {"level": int(best or 0), "word": word, "expected_level": expected}
            entries[task]["probabilities"] = [round(float(value), 6) for value in p]
            if self.occlusion:
                entries[task]["occlusion"] = np.round(self.occlusion[task], 3).tolist()
        if self.warnings:
            entries["warnings"] = list(self.warnings)
        return entries


def findings_from_crops(predictor: Predictor, paths: Sequence[str | Path]) -> Iterator[Finding]:
    """A finding for each crop file, in their order.

    Every file is read before the first finding, so that a bad one costs no half output.

    Raises:
        ManifestError: a file is missing, truncated, no picture, or not 32x32.
    """
    images = np.stack([read_crop(path) for path in paths])
    yield from _findings(predictor, images, [{"image": str(path)} for path in paths])


def findings_from_manifest(predictor: Predictor, path: Path) -> Iterator[Finding]:
    """A finding for each row of a manifest, in its order.

    Raises:
        ManifestError: the manifest or a crop is bad, or the crops were made by another rule or
            window than the model's.
    """
    manifest = read_manifest(path)
    predictor.check_crops(manifest)
    about = [
        {"image": row.image, "patient_id": row.patient_id, "nodule": row.nodule, "z_mm": row.z_mm}
        for row in manifest.rows
    ]
    yield from _findings(predictor, read_images(manifest), about)


def _findings(
    predictor: Predictor, images: np.ndarray, about: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    probabilities = predictor.probabilities(images)
    for i, what in enumerate(about):
        of_one = {task: p[i] for task, p in probabilities.items()}
        cuts = predictor.calibration.cuts
        yield Finding(what, predictor.tasks, of_one, cuts=cuts, images=images[i : i + 1])
