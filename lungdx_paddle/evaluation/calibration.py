"""Calibration of a network's probabilities: what corrects them, and how far off they are.

A network of a cross-validation is corrected by two things, both fitted on nodules that it was not
trained on (:mod:`lungdx_paddle.evaluation.calibration_fit`): a temperature for each task, and the
*cuts*, four thresholds of the expected malignancy level that turn it into a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import LEVELS, TASKS
from lungdx_paddle.evaluation.counts import ratio

BINS = 15
"""Equal parts of the confidence from 0 to 1 (Guo et al. 2017, ICML, use 15)."""


@dataclass(frozen=True)
class Calibration:
    """What turns a network's probabilities into the answer; nothing set: the likeliest class.

    It is fitted on the answers of single networks.  The exported model of a cross-validation is
    the mean of them all, which is smoother than each: its probabilities are a little less sure
    than calibrated ones, and its expected levels a little nearer to the middle than those that
    the cuts were fitted on.  No patient is left on whom that could be fitted.
    """

    temperatures: Mapping[str, float] = field(default_factory=dict)
    """{task: T}: probabilities are raised to 1 / T and scaled to a sum of 1; missing: 1."""
    cuts: tuple[float, ...] = ()
    """Four rising expected levels: of so many as lie at or below a nodule's, its level is one
    higher than 1.  Empty: the likeliest level."""
    folds: int = 0
    """Of the cross-validation."""
    patients: int = 0
    nodules: Mapping[str, int] = field(default_factory=dict)
    """{task: labelled nodules that it was fitted on}."""
    why: tuple[str, ...] = ()
    """What was not fitted, and why."""

    @property
    def is_identity(self) -> bool:
        """Whether it leaves everything as it is."""
        return not self.cuts and all(t == 1.0 for t in self.temperatures.values())

    def probabilities(self, found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """{task: (n, classes) calibrated probabilities} of those of a network."""
        return {task: tempered(p, self.temperatures.get(task, 1.0)) for task, p in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and YAML."""
        return {**asdict(self), "cuts": list(self.cuts), "why": list(self.why)}

    @staticmethod
    def from_dict(entry: Any) -> Calibration:
        """The calibration that :meth:`to_dict` turned into ``entry``; numbers may be text.

        Raises:
            ValueError: it is something else, in words.
        """
        try:
            temperatures = {task: float(t) for task, t in entry["temperatures"].items()}
            cuts = tuple(float(cut) for cut in entry["cuts"])
            nodules = {task: int(n) for task, n in entry["nodules"].items()}
            folds, patients = int(entry["folds"]), int(entry["patients"])
            why = tuple(str(each) for each in entry["why"])
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(f"other entries ({type(error).__name__} {error})") from error
        usable = all(math.isfinite(t) and t > 0 for t in temperatures.values())
        if not (usable and set(temperatures) <= set(TASKS)):
            raise ValueError(f"temperatures that are no numbers above 0 of {' and '.join(TASKS)}")
        rise = all(map(math.isfinite, cuts)) and sorted(cuts) == list(cuts)
        if cuts and (len(cuts) != len(LEVELS) - 1 or not rise):
            raise ValueError(f"cuts that are no {len(LEVELS) - 1} rising numbers")
        return Calibration(temperatures, cuts, folds, patients, nodules, why)


def tempered(probabilities: np.ndarray, temperature: float | np.ndarray) -> np.ndarray:
    """Probabilities under another temperature of the softmax that made them.

    Args:
        probabilities: (n, classes).
        temperature: above 0; one, or (n, 1) of each row.  1 changes no bit.
    """
    if np.all(temperature == 1.0):
        return probabilities
    raised = probabilities ** (1.0 / np.asarray(temperature, probabilities.dtype))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def expected_level(probabilities: np.ndarray) -> np.ndarray:
    """(...,) expected malignancy level, from 1 to 5, of (..., 5) probabilities."""
    return np.asarray(probabilities @ np.arange(1.0, probabilities.shape[-1] + 1))


def level_class(expected: np.ndarray, cuts: np.ndarray | Sequence[float]) -> np.ndarray:
    """(...,) class of an expected level: how many of the cuts lie at or below it.

    Args:
        expected: (...,) levels.
        cuts: (4,) rising, or (..., 4) of each level.
    """
    return np.asarray((expected[..., np.newaxis] >= np.asarray(cuts)).sum(axis=-1))


def bin_sums(
    labels: np.ndarray, probabilities: np.ndarray, group: np.ndarray, groups: int
) -> np.ndarray:
    """(groups, 3, BINS): count, summed confidence and right answers in (low, high] bins.

    Args:
        labels: (n,) classes, -1 for no label.
        probabilities: (n, classes).
        group: (n,) whole numbers from 0 to ``groups`` - 1, such as the patient's.
        groups: how many groups.
    """
    known = labels >= 0
    confidence = probabilities[known].max(axis=1)
    right = probabilities[known].argmax(axis=1) == labels[known]
    # Inner edges only: rounding must not push a confidence of 1 into a bin of its own.
    edges = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
    position = np.searchsorted(edges, confidence, side="left")
    sums = np.zeros((groups, 3, BINS))
    for kind, values in enumerate((np.ones(len(right)), confidence, right)):
        np.add.at(sums[:, kind], (group[known], position), values)
    return sums


def ece(sums: np.ndarray) -> np.ndarray:
    """Expected calibration error of (..., 3, BINS) sums, NaN where they are empty.

    The mean over images of |confidence - accuracy| of their bin (Guo et al. 2017).
    """
    count, confidence, right = (sums[..., kind, :] for kind in range(3))
    return ratio(np.abs(confidence - right).sum(axis=-1), count.sum(axis=-1))


def reliability_curve(sums: np.ndarray) -> tuple[Mapping[str, int | float], ...]:
    """The bins of (3, BINS) sums that hold an image, by rising confidence.

    Returns:
        Mappings of ``images``, ``confidence`` (mean) and ``accuracy`` (share that is right).
    """
    return tuple(
        {"images": int(n), "confidence": float(c / n), "accuracy": float(r / n)}
        for n, c, r in sums.T
        if n
    )
