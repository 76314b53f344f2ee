"""Every score of a set of predictions: :func:`evaluate` is the one way in, :class:`Scores` out.

Conventions.  A label of -1 is no label, and what has none does not count.  A number that the
data do not define is None with a reason, never NaN.  The tasks are those of the predictions:
malignancy, and pathology unless the label set is ``none``.  A number is an
:class:`~lungdx_paddle.evaluation.intervals.Estimate`: its value, a 95 % percentile interval of
a bootstrap over patients (the slices and nodules of one patient are alike), and the patients
that it rests on.  One that rests on fewer than
:data:`~lungdx_paddle.evaluation.intervals.LEAST_PATIENTS` is shown as too few, on the screen and
in pictures; files hold it, with that reason.

Levels.  ``image``: each labelled crop.  ``nodule``: the mean probabilities of a nodule's crops.
``patient``: for pathology the mean probabilities of all the patient's crops; for malignancy the
patient's most suspicious nodule, the highest class predicted against the highest label.

=====================  =====================================================================
``labelled``           images, nodules or patients with a label: what the rest is about
``accuracy``           share whose answer (``Predictions.classes``) is the label
``baseline_accuracy``  accuracy of always answering the commonest of these labels
``within_one``         malignancy: share at most one level off
``quadratic_kappa``    malignancy: Cohen's kappa with quadratic weights; undefined where all
                       labels and predictions are of one class
``auc``                malignancy, nodules: mean rating above 3.5 against below 2.5, ranked by
                       the expected level; undefined without both
``balanced_accuracy``  pathology: mean recall of the labelled classes
``macro_f1``           pathology: mean F1 of the classes that are labelled or predicted
``ece``                expected calibration error of the likeliest class's probability
``reliability``        its bins: images, mean confidence, accuracy
``confusion``          counts, rows the label and columns the prediction
=====================  =====================================================================

``diagnosis_auc``: benign against malignant patients by the highest expected level among their
nodules, the rule by which ``readers.diagnosis_auc`` ranks the readers' mean ratings.  Formulas
and sources: counts.py, calibration.py, ranking.py; the readers: readers.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.evaluation.calibration import bin_sums, ece, reliability_curve
from lungdx_paddle.evaluation.counts import (
    SCORES,
    group_confusion,
    numbered,
    with_total,
    without,
)
from lungdx_paddle.evaluation.intervals import Estimate, auc_estimate, estimates, of_sums
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.readers import ReaderAgreement, diagnosis_auc, reader_agreement

BENIGN_BELOW, MALIGNANT_ABOVE = 2.5, 3.5
"""Mean rating of a nodule that counts as benign or malignant; between, it is left out."""

SCORE_LEVELS = ("image", "nodule", "patient")


@dataclass(frozen=True)
class TaskScores:
    """One task's scores at one level; None for what that task or level does not have."""

    labelled: int
    accuracy: Estimate
    baseline_accuracy: float | None = None
    within_one: Estimate | None = None
    quadratic_kappa: Estimate | None = None
    auc: Estimate | None = None
    balanced_accuracy: Estimate | None = None
    macro_f1: Estimate | None = None
    ece: Estimate | None = None
    reliability: tuple[Mapping[str, int | float], ...] | None = None
    confusion: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, repr=False)
class Scores:
    """Every score of a set of predictions (the module's docstring says what each one is)."""

    images: int
    nodules: int
    patients: int
    image: Mapping[str, TaskScores]
    nodule: Mapping[str, TaskScores]
    patient: Mapping[str, TaskScores]
    diagnosis_auc: Estimate
    readers: ReaderAgreement

    def __repr__(self) -> str:
        shown = "; ".join(f"{task} {self.accuracy('nodule', task)}" for task in self.nodule)
        return f"Scores({self.images} images, accuracy by nodule: {shown})"

    def accuracy(self, level: str, task: str) -> Estimate:
        """Accuracy of a task at the level image, nodule or patient."""
        return self.level(level)[task].accuracy

    def total(self, level: str) -> float | None:
        """Mean of the tasks' accuracies (paper, "accuracy" of Table 2) at a level."""
        return with_total({t: s.accuracy.value for t, s in self.level(level).items()})["total"]

    def shown(self, level: str) -> dict[str, str]:
        """{"total" or a task: its accuracy in four digits, a dash, or that patients are too few}.

        The total is the mean of those tasks that are shown.
        """
        found = {task: scores.accuracy for task, scores in self.level(level).items()}
        few = {task for task, accuracy in found.items() if accuracy.too_few}
        values = without({task: accuracy.value for task, accuracy in found.items()}, few)
        texts = {task: "-" if v is None else f"{v:.4f}" for task, v in values.items()}
        if few and values["total"] is None:
            few = few | {"total"}
        return {task: "too few" if task in few else text for task, text in texts.items()}

    def level(self, level: str) -> Mapping[str, TaskScores]:
        """{task: scores} at the level image, nodule or patient."""
        return {"image": self.image, "nodule": self.nodule, "patient": self.patient}[level]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, in the order of the fields."""
        plain: dict[str, Any] = _plain(self)
        return plain

    @staticmethod
    def from_dict(entry: Mapping[str, Any]) -> Scores:
        """The scores that :meth:`to_dict` turned into ``entry``.

        Raises:
            CheckpointError: it is something else, such as the scores of an older version.
        """
        try:
            fields = {**entry, "diagnosis_auc": Estimate.from_dict(entry["diagnosis_auc"])}
            for level in SCORE_LEVELS:
                fields[level] = {t: TaskScores(**_read(s)) for t, s in entry[level].items()}
            fields["readers"] = ReaderAgreement(**_read(entry["readers"]))
            return Scores(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "metrics.json",
                expected="scores as this version writes them",
                found=f"{type(error).__name__} {error}",
                fix="make them again with tools/eval.py --run",
            ) from error


def evaluate(predictions: Predictions, seed: int = 0) -> Scores:
    """Score predictions at image, nodule and patient level, with the readers beside them.

    Args:
        predictions: of one crop or more.
        seed: of the bootstrap over patients.

    Raises:
        ManifestError: there are not as many probabilities as rows, or some are not numbers.
    """
    rows = len(predictions)
    for task, labels in predictions.labels.items():
        given = predictions.probabilities[task]
        if not (len(given) == len(labels) == rows and rows and np.isfinite(given).all()):
            bad = int((~np.isfinite(given)).any(axis=1).sum())
            raise ManifestError(
                f"the predictions of {task}",
                expected=f"one row of probabilities for each of {max(rows, 1)} or more crops",
                found=f"{len(given)} for {rows} crops, {bad} of them not numbers",
                fix="predict the crops again with a model whose training ended well",
            )
    nodules, patients = predictions.pooled("nodule"), predictions.pooled("patient")
    by_nodule = {task: _task_scores(task, nodules, seed) for task in predictions.labels}
    by_patient = {task: _task_scores(task, patients, seed) for task in predictions.labels}
    by_patient[MALIGNANCY] = _of_most_suspicious(nodules, seed)
    clear, malignant = clear_nodules(nodules)
    auc = auc_estimate(malignant, clear.expected_levels, clear.patients, seed)
    by_nodule[MALIGNANCY] = replace(by_nodule[MALIGNANCY], auc=auc)
    return Scores(
        images=rows,
        nodules=len(nodules),
        patients=len(patients),
        image={task: _task_scores(task, predictions, seed) for task in predictions.labels},
        nodule=by_nodule,
        patient=by_patient,
        diagnosis_auc=diagnosis_auc(nodules.rows, nodules.expected_levels, seed),
        readers=reader_agreement(predictions.rows, seed),
    )


def image_accuracy(predictions: Predictions) -> dict[str, float | None]:
    """Accuracy over images without intervals: {"total": mean of the tasks, task: its own}."""
    found: dict[str, float | None] = {}
    for task, labels in predictions.labels.items():
        known = labels >= 0
        right = predictions.classes[task][known] == labels[known]
        found[task] = float(right.mean()) if known.any() else None
    return with_total(found)


def binary_rankings(predictions: Predictions) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Binary questions about nodules, with scores, for ROC and precision-recall curves.

    Malignancy: mean rating above 3.5 against below 2.5, by the expected level.  Pathology:
    each class against the rest among the labelled nodules, by its mean probability.

    Returns:
        {question: ((nodules,) bool yes, (nodules,) score, higher for yes)} of those that have
        both a yes and a no.
    """
    nodules = predictions.pooled("nodule")
    clear, malignant = clear_nodules(nodules)
    question = f"malignancy: above {MALIGNANT_ABOVE} against below {BENIGN_BELOW}"
    found = {question: (malignant, clear.expected_levels)}
    for k, name in enumerate(predictions.label_set.classes):
        known = nodules.select(np.flatnonzero(nodules.labels[PATHOLOGY] >= 0))
        yes = known.labels[PATHOLOGY] == k
        found[f"{PATHOLOGY}: {name}"] = (yes, known.probabilities[PATHOLOGY][:, k])
    return {name: (yes, score) for name, (yes, score) in found.items() if 0 < yes.sum() < len(yes)}


def clear_nodules(nodules: Predictions) -> tuple[Predictions, np.ndarray]:
    """The nodules that the readers call benign or malignant, and (n,) bool: malignant.

    Args:
        nodules: pooled by nodule.
    """
    # No rating at all is as unclear as one in the middle.
    middle = (BENIGN_BELOW + MALIGNANT_ABOVE) / 2
    means = np.array([np.mean(row.malignancy_ratings or (middle,)) for row in nodules.rows])
    clear = np.flatnonzero((means < BENIGN_BELOW) | (means > MALIGNANT_ABOVE))
    return nodules.select(clear), means[clear] > MALIGNANT_ABOVE


def _task_scores(task: str, part: Predictions, seed: int) -> TaskScores:
    known = part.select(np.flatnonzero(part.labels[task] >= 0))
    labels, probabilities = known.labels[task], known.probabilities[task]
    patient, patients = numbered(known.patients)
    classes = probabilities.shape[1]
    counts = group_confusion(labels, known.classes[task], classes, patient, patients)
    return _from_counts(task, counts, bin_sums(labels, probabilities, patient, patients), seed)


def _of_most_suspicious(nodules: Predictions, seed: int) -> TaskScores:
    """Malignancy by patient: the highest class predicted against the highest label."""
    known = nodules.select(np.flatnonzero(nodules.labels[MALIGNANCY] >= 0))
    patient, patients = numbered(known.patients)
    truth, predicted = np.zeros((2, patients), dtype=np.int64)
    np.maximum.at(truth, patient, known.labels[MALIGNANCY])
    np.maximum.at(predicted, patient, known.classes[MALIGNANCY])
    classes = known.probabilities[MALIGNANCY].shape[1]
    counts = group_confusion(truth, predicted, classes, np.arange(patients), patients)
    return _from_counts(MALIGNANCY, counts, None, seed)


def _from_counts(task: str, counts: np.ndarray, bins: np.ndarray | None, seed: int) -> TaskScores:
    """Scores of (patients, classes, classes) counts and, with probabilities, their bins."""
    statistics = {name: of_sums(counts, score) for name, score in SCORES[task].items()}
    if bins is not None:
        statistics["ece"] = of_sums(bins, ece)
    total = counts.sum(axis=0)
    labelled = int(total.sum())
    one_class = "all labels and predictions are of one class"
    why = one_class if labelled else f"none has a label for {task}"
    found = estimates(statistics, len(counts), why, seed)
    return TaskScores(
        labelled=labelled,
        baseline_accuracy=float(total.sum(axis=1).max() / labelled) if labelled else None,
        confusion=tuple(tuple(row) for row in total.tolist()),
        reliability=None if bins is None else reliability_curve(bins.sum(axis=0)),
        **found,
    )


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON has them, without the fields that are None."""
    match value:
        case Estimate():
            return value.to_dict()
        case Scores() | TaskScores() | ReaderAgreement():
            return {k: _plain(v) for k, v in vars(value).items() if v is not None}
        case Mapping():
            return {k: _plain(v) for k, v in value.items()}
        case tuple():
            return [_plain(v) for v in value]
    return value


def _read(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dataclass of estimates, counts and rows of counts."""

    def value(found: Any) -> Any:
        if isinstance(found, Mapping):
            return Estimate.from_dict(found)
        if isinstance(found, list):
            return tuple(tuple(row) if isinstance(row, list) else row for row in found)
        return found

    return {name: value(found) for name, found in entry.items()}
