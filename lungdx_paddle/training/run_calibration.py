"""``calibration.json``: the calibration of a cross-validation, and of each of its networks.

The run's own scores flatter nobody: what fold k's network predicts of its fold is calibrated by
what was fitted on the other folds.  What is exported, and what other patients are answered with, is
fitted on all of them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.evaluation.calibration_fit import fit_calibration
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.files import UnreadableError, read_json, write_text
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_metrics import CALIBRATION

OF_ALL = -1
"""In place of a fold: the mean of all networks."""


@dataclass(frozen=True)
class RunCalibration:
    """The calibrations that a cross-validation gives."""

    shipped: Calibration
    """Fitted on all folds: of the mean of all networks, and of the exported model."""
    of_folds: tuple[Calibration, ...]
    """Of each fold's network: fitted on the other folds."""

    @classmethod
    def fit(cls, predictions: Predictions, fold: np.ndarray) -> RunCalibration:
        """Fit all of them; they have cuts where each of them can have them.

        Args:
            predictions: of the run's own crops, not calibrated, each by the network of its fold.
            fold: (n,) that network's.
        """
        folds = int(fold.max()) + 1
        kept = [np.flatnonzero(fold != k) for k in (*range(folds), OF_ALL)]
        *of_folds, shipped = (fit_calibration(predictions.select(rows), folds) for rows in kept)
        if not all(each.cuts for each in of_folds):
            lacking = "; ".join(dict.fromkeys(w for each in of_folds for w in each.why))
            why = (*shipped.why, *((f"without a fold: {lacking}",) if shipped.cuts else ()))
            shipped = replace(shipped, cuts=(), why=why)
            of_folds = [replace(each, cuts=()) for each in of_folds]
        return cls(shipped, tuple(of_folds))

    def apply(self, predictions: Predictions, fold: np.ndarray | int = OF_ALL) -> Predictions:
        """Calibrate predictions of the run's networks.

        Args:
            predictions: as the networks gave them.
            fold: (n,) whose network predicted it, or :data:`OF_ALL`.
        """
        return predictions.calibrated([*self.of_folds, self.shipped], fold)

    def write(self, run: Run) -> None:
        """Write ``calibration.json`` into a run, bound to its present weights.

        Raises:
            OutputError: it cannot be written.
        """
        entries = {
            "weights": run.digests.weights,
            "shipped": self.shipped.to_dict(),
            "of_folds": [calibration.to_dict() for calibration in self.of_folds],
        }
        write_text(run.folder / CALIBRATION, json.dumps(entries, indent=1) + "\n")


def calibration_of(run: Run) -> RunCalibration | None:
    """The calibration of a run's present weights.

    None for a run of one network, which has no crops to fit it on but those that it is scored on,
    and for a cross-validation that is not finished, or of a version without calibration.

    Raises:
        CheckpointError: ``calibration.json`` is damaged.
    """
    path = run.folder / CALIBRATION
    if not (run.config.is_ensemble and path.is_file()):
        return None
    try:
        entries = read_json(path)
        if entries["weights"] != run.digests.weights:
            return None
        found: Sequence[Calibration] = [
            Calibration.from_dict(each) for each in (entries["shipped"], *entries["of_folds"])
        ]
        wrong = len(found) != run.config.data.folds + 1 or len({bool(c.cuts) for c in found}) > 1
        problem = f"those of {len(found) - 1} folds, or cuts of some only" if wrong else ""
    except (UnreadableError, ValueError, KeyError, TypeError) as error:
        problem = str(error)
    if problem:
        raise CheckpointError(
            str(path),
            expected=f"the calibration of {run.config.data.folds} folds",
            found=problem,
            fix="go on with tools/train.py --resume, which fits it again",
        )
    return RunCalibration(found[0], tuple(found[1:]))
