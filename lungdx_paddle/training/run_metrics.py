"""The scores of a run and what they rest on: ``metrics.json``."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.leakage import Leakage
from lungdx_paddle.evaluation.predictions import Predictions, write_predictions
from lungdx_paddle.evaluation.scores import Scores
from lungdx_paddle.files import UnreadableError, read_json, write_text
from lungdx_paddle.training.checkpoint import file_digest

RESULTS = METRICS, PREDICTIONS, CALIBRATION = "metrics.json", "predictions.csv", "calibration.json"
"""Files of a run that follow from its weights; only a cross-validation has the last one."""


@dataclass(frozen=True)
class Digests:
    """Digests that identify a result's origin: equal ones are of the same training."""

    config: str
    """Of every setting that can change the trained weights."""
    data: str
    """Of the pixels and labels of all crops, of both parts."""
    split: str
    """Of which crop is in which part."""
    weights: str
    predictions: str
    """Of ``predictions.csv``."""
    calibration: str = ""
    """Of ``calibration.json``; empty without one."""


@dataclass(frozen=True, repr=False)
class RunMetrics:
    """The scores of a run's weights on some crops, as they stand in ``metrics.json``."""

    run: str
    """Name of the config."""
    step: int
    digests: Digests
    data: str
    """``phantom``, or the manifest."""
    part: str
    """Which crops were scored, in words."""
    split: str
    """image, nodule or patient."""
    folds: int
    """Of a cross-validation; 0: one split."""
    test: Scores
    train: Mapping[str, float | None] | None
    """Accuracy over the training images: {"total" or a task: value}; None if not computed."""
    leakage: Leakage
    environment: Environment
    """Where the scores were computed."""
    uncalibrated: Scores | None = None
    """The same before calibration: ECE, reliability and the likeliest class; None without one."""

    def __repr__(self) -> str:
        return f"RunMetrics({self.run}, step {self.step}, {self.part}: {self.test!r})"

    def write(self, path: Path) -> None:
        """Write JSON.

        Raises:
            OutputError: it cannot be written.
        """
        entries = {
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},
            "digests": dataclasses.asdict(self.digests),
            "test": self.test.to_dict(),
            "uncalibrated": self.uncalibrated and self.uncalibrated.to_dict(),
            "leakage": self.leakage.to_dict(),
            "environment": dataclasses.asdict(self.environment),
            "note": RESEARCH_USE,
        }
        write_text(path, json.dumps(entries, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> RunMetrics:
        """Read what :meth:`write` wrote.

        Raises:
            CheckpointError: it is missing or something else.
        """
        try:
            entries: dict[str, Any] = read_json(path)
            entries.pop("note")
            before = entries.get("uncalibrated")
            return cls(
                **{
                    **entries,
                    "digests": Digests(**entries["digests"]),
                    "test": Scores.from_dict(entries["test"]),
                    "uncalibrated": before and Scores.from_dict(before),
                    "leakage": Leakage.from_dict(entries["leakage"]),
                    "environment": Environment(**entries["environment"]),
                }
            )
        except (UnreadableError, KeyError, TypeError, AttributeError) as error:
            other = f"other entries ({type(error).__name__} {error})"
            raise CheckpointError(
                str(path),
                expected="the metrics of a run",
                found=str(error) if isinstance(error, UnreadableError) else other,
                fix="evaluate the run again (tools/eval.py --run DIR)",
            ) from error


def write_results(folder: Path, metrics: RunMetrics, predictions: Predictions) -> RunMetrics:
    """Write ``predictions.csv`` and ``metrics.json``, bound to it by a digest, into a folder.

    Returns:
        The metrics as they were written.

    Raises:
        OutputError: a file cannot be written.
    """
    write_predictions(folder / PREDICTIONS, predictions)
    own = file_digest(folder / PREDICTIONS)
    metrics = dataclasses.replace(
        metrics, digests=dataclasses.replace(metrics.digests, predictions=own)
    )
    metrics.write(folder / METRICS)
    return metrics
