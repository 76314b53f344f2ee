"""What a network said of each image, kept as a table, so that any number can be made later."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.files import write_text
from lungdx_paddle.manifest import ManifestRow

PREDICTIONS = "predictions.csv"
"""In a run's folder: of its test part, after the last step."""

_DIGITS = 7
"""float32 has no more."""


@dataclass(frozen=True)
class Predicted:
    """A table of predictions."""

    images: Sequence[str]
    """(n,) as in the manifest."""
    patients: Sequence[str]
    labels: Mapping[str, np.ndarray]
    """{task: (n,) classes, -1 for no label}."""
    probabilities: Mapping[str, np.ndarray]
    """{task: (n, classes)}."""

    def right(self, task: str) -> np.ndarray:
        """(n,) 1.0 where the most probable class is the label, else 0.0; unlabelled: 0.0."""
        return (self.probabilities[task].argmax(axis=1) == self.labels[task]).astype(float)


def write_predictions(
    path: Path,
    rows: Sequence[ManifestRow],
    labels: Mapping[str, np.ndarray],
    probabilities: Mapping[str, np.ndarray],
) -> None:
    """Write one line an image: image, patient, nodule, then each task's label and probabilities.

    An image without a label for a task has an empty cell there.

    Raises:
        OutputError: it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for task in labels for name in _columns(task, probabilities[task].shape[1])]
    writer.writerow(["image", "patient_id", "nodule", *names])
    for i, row in enumerate(rows):
        cells: list[str] = []
        for task, values in labels.items():
            cells.append(str(values[i]) if values[i] >= 0 else "")
            cells += [f"{p:.{_DIGITS}g}" for p in probabilities[task][i]]
        writer.writerow([row.image, row.patient_id, row.nodule, *cells])
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> Predicted:
    """Read what :func:`write_predictions` wrote.

    Raises:
        CheckpointError: there is no such file, or it is another table.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        tasks = [name[: -len("_label")] for name in rows[0] if name.endswith("_label")]
        return Predicted(
            images=[row["image"] for row in rows],
            patients=[row["patient_id"] for row in rows],
            labels={t: np.array([int(row[f"{t}_label"] or -1) for row in rows]) for t in tasks},
            probabilities={t: _probabilities(rows, t) for t in tasks},
        )
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise CheckpointError(
            str(path),
            expected="a table of predictions that a training wrote",
            found=f"{type(error).__name__}: {error}",
            fix="train again into this folder",
        ) from error


def _columns(task: str, classes: int) -> list[str]:
    return [f"{task}_label", *(f"{task}_p{k}" for k in range(classes))]


def _probabilities(rows: Sequence[dict[str, str]], task: str) -> np.ndarray:
    names = [name for name in rows[0] if name.startswith(f"{task}_p") and name[-1].isdigit()]
    return np.array([[float(row[name]) for name in names] for row in rows])
