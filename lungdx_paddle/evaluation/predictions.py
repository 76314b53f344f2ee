"""Predictions of a network: compute them, store them as a table, pool them by nodule."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import paddle

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY, TASKS, LabelSet
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.evaluation.calibration import (
    Calibration,
    expected_level,
    level_class,
    tempered,
)
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.manifest import Manifest, ManifestRow, read_rows, write_manifest
from lungdx_paddle.models.network import TwoTaskNetwork

BATCH = 256
"""Images at a time: enough to fill the cores, little memory."""

DIGITS = 9
"""Of a probability in the table: a float32 is read back as it was, to the bit."""

_OWN_COLUMN = re.compile(rf"label_set|({'|'.join(TASKS)})_(label|p\d+)")


@dataclass(frozen=True, eq=False)
class Predictions:
    """Rows of a manifest with a network's probabilities and the labels beside them."""

    rows: tuple[ManifestRow, ...]
    labels: Mapping[str, np.ndarray]
    """{task: (n,) int64 classes, -1 for no label}."""
    probabilities: Mapping[str, np.ndarray]
    """{task: (n, classes)}."""
    label_set: LabelSet
    images: np.ndarray | None = None
    """(n, 32, 32) uint8 crops; None if read from a table."""
    cuts: np.ndarray | None = None
    """(n, 4) expected levels that divide the levels; None: the level is the likeliest class."""
    raw: Predictions | None = None
    """The same as the network gave them, before calibration; None: these are."""

    def __repr__(self) -> str:
        patients = len(set(self.patients))
        return f"Predictions({len(self)} crops of {patients} patients, {self.label_set.name})"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def patients(self) -> list[str]:
        """(n,) the patient of each row."""
        return [row.patient_id for row in self.rows]

    @property
    def source(self) -> str:
        """``phantom`` if any row is; else the first source that is known, or nothing."""
        return Manifest(Path(), self.rows).source

    @property
    def classes(self) -> dict[str, np.ndarray]:
        """{task: (n,) the answer: the likeliest class, or the level that the cuts give}."""
        found = {task: p.argmax(axis=1) for task, p in self.probabilities.items()}
        if self.cuts is not None:
            found[MALIGNANCY] = level_class(self.expected_levels, self.cuts)
        return found

    @property
    def expected_levels(self) -> np.ndarray:
        """(n,) expected malignancy level, from 1 to 5."""
        return expected_level(self.probabilities[MALIGNANCY])

    def calibrated(
        self, calibrations: Sequence[Calibration], which: np.ndarray | int = 0
    ) -> Predictions:
        """These predictions, calibrated; they are kept as ``raw``.

        Args:
            calibrations: all with cuts, or none.
            which: (n,) index of each row's calibration, or that of all.
        """
        if all(calibration.is_identity for calibration in calibrations):
            return self
        row = np.broadcast_to(which, len(self))
        by_task = {
            task: np.array([c.temperatures.get(task, 1.0) for c in calibrations])[row, np.newaxis]
            for task in self.probabilities
        }
        cuts = np.array([calibration.cuts for calibration in calibrations])[row]
        return replace(
            self,
            probabilities={t: tempered(p, by_task[t]) for t, p in self.probabilities.items()},
            cuts=cuts if cuts.size else None,
            raw=self,
        )

    def select(self, indices: Sequence[int] | np.ndarray) -> Predictions:
        """The predictions at ``indices``, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return replace(
            self,
            rows=tuple(self.rows[i] for i in chosen.tolist()),
            labels={task: labels[chosen] for task, labels in self.labels.items()},
            probabilities={task: p[chosen] for task, p in self.probabilities.items()},
            images=None if self.images is None else self.images[chosen],
            cuts=None if self.cuts is None else self.cuts[chosen],
            raw=None if self.raw is None else self.raw.select(chosen),
        )

    def pooled(self, level: str) -> Predictions:
        """One row a nodule or a patient, in order of first appearance, without images.

        A nodule's probabilities are the mean over its slices by :func:`slice_weights`, a patient's
        the plain mean over all crops; cuts are the mean, the label is the highest, the row the
        last one.

        Args:
            level: image (everything stays as it is), nodule or patient.
        """
        if level == "image":
            return self
        members: dict[object, list[int]] = {}
        for i, row in enumerate(self.rows):
            members.setdefault(row.nodule_key if level == "nodule" else row.patient_id, []).append(
                i
            )
        groups = list(members.values())
        weights = [
            slice_weights([self.rows[k].z_mm for k in of])
            if level == "nodule"
            else np.full(len(of), 1.0 / len(of))
            for of in groups
        ]
        return Predictions(
            rows=tuple(self.rows[indices[-1]] for indices in groups),
            labels={t: np.array([k[i].max() for i in groups]) for t, k in self.labels.items()},
            probabilities={
                t: np.array([w @ p[of] for w, of in zip(weights, groups)])
                for t, p in self.probabilities.items()
            },
            label_set=self.label_set,
            cuts=None if self.cuts is None else np.array([self.cuts[i].mean(0) for i in groups]),
            raw=None if self.raw is None else self.raw.pooled(level),
        )


def predict(network: TwoTaskNetwork, dataset: NoduleDataset) -> Predictions:
    """Run a network, in inference mode, over all images in order; it is left as it was."""
    probabilities = outputs(network, network.probabilities, dataset)
    rows = tuple(dataset.manifest.rows)
    return Predictions(rows, dataset.labels, probabilities, dataset.label_set, dataset.images)


def outputs(
    network: TwoTaskNetwork,
    function: Callable[[paddle.Tensor], dict[str, paddle.Tensor]],
    dataset: NoduleDataset,
) -> dict[str, np.ndarray]:
    """{task: (images, outputs) float32} of one of a network's functions, in inference mode.

    Args:
        network: it is left as it was.
        function: its ``probabilities`` or, of a single network, its ``features``.
        dataset: all its images, in order.
    """
    found: dict[str, list[np.ndarray]] = {}
    with inference_mode(network), paddle.no_grad():
        for batch in dataset.batches(BATCH):
            for task, output in function(paddle.to_tensor(batch.images)).items():
                found.setdefault(task, []).append(output.numpy())
    return {task: np.concatenate(blocks) for task, blocks in found.items()}


@contextmanager
def inference_mode(network: paddle.nn.Layer) -> Iterator[None]:
    """Context in which a network is in inference mode; its mode is restored afterwards."""
    was_training = network.training
    network.eval()
    try:
        yield
    finally:
        if was_training:
            network.train()


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write predictions as a manifest with more columns.

    They are ``label_set`` and, for each task, ``{task}_label`` (empty: no label) and the
    classes' probabilities ``{task}_p0``, ``{task}_p1``, ..., as the network gave them, before
    calibration.

    Raises:
        OutputError: it cannot be written.
    """
    predictions, rows = predictions.raw or predictions, []
    for i, row in enumerate(predictions.rows):
        extra = {name: text for name, text in row.extra.items() if not _OWN_COLUMN.fullmatch(name)}
        extra["label_set"] = predictions.label_set.name
        for task, labels in predictions.labels.items():
            extra[f"{task}_label"] = str(labels[i]) if labels[i] >= 0 else ""
            for k, p in enumerate(predictions.probabilities[task][i]):
                extra[f"{task}_p{k}"] = f"{p:.{DIGITS}g}"
        rows.append(replace(row, extra=extra))
    write_manifest(path, rows)


def read_predictions(path: Path) -> Predictions:
    """Read what :func:`write_predictions` wrote; the crops need not be there.

    Raises:
        CheckpointError: there is no such file, or it is another table.
    """
    try:
        rows = read_rows(path)
        label_set = LABEL_SETS[rows[0].extra["label_set"]]
        labels, probabilities = {}, {}
        for task, names in label_set.task_classes.items():
            classes = [int(row.extra[f"{task}_label"] or -1) for row in rows]
            columns = [f"{task}_p{k}" for k in range(len(names))]
            table = [[float(row.extra[name]) for name in columns] for row in rows]
            if not -1 <= min(classes) <= max(classes) < len(names):
                raise ValueError(f"a {task}_label that is no class from 0 to {len(names) - 1}")
            if not all(0 <= p <= 1 for probabilities_of in table for p in probabilities_of):
                raise ValueError(f"a probability of {task} that is not from 0 to 1")
            labels[task], probabilities[task] = np.array(classes), np.array(table, np.float32)
    except (ManifestError, ValueError, KeyError, IndexError) as error:
        raise CheckpointError(
            str(path),
            expected="a table of predictions (predictions.csv)",
            found=f"no column {error}" if isinstance(error, KeyError) else str(error),
            fix="make it again with tools/eval.py --run",
        ) from error
    plain = [
        replace(row, extra={n: t for n, t in row.extra.items() if not _OWN_COLUMN.fullmatch(n)})
        for row in rows
    ]
    return Predictions(tuple(plain), labels, probabilities, label_set)
