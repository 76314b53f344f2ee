"""Every score of a set of predictions: :func:`evaluate` is the one way in, :class:`Scores` out.

Conventions.  A label of -1 is no label, and what has none does not count.  A number that the
data do not define is None with a reason, never NaN.  The tasks are those of the predictions:
malignancy, and pathology unless the label set is ``none``.  A number is an
:class:`~lungdx_paddle.evaluation.intervals.Estimate`: its value, a 95 % percentile interval of
a bootstrap over patients (the slices and nodules of one patient are alike), and the patients
that it rests on.  One that rests on fewer than
:data:`~lungdx_paddle.evaluation.intervals.LEAST_PATIENTS` is shown as too few, on the screen and
in pictures; files hold it, with that reason.

Levels.  ``image``: each labelled crop.  ``nodule``: the mean probabilities of a nodule's crops, the
middle ones counting most (``slice_weights``).  ``patient``: for pathology the mean probabilities of
all the patient's crops; for malignancy the patient's most suspicious nodule, the highest class
predicted against the highest label.

=====================  =====================================================================
``labelled``           images, nodules or patients with a label: what the rest is of
``accuracy``           share whose answer (``Predictions.classes``) is the label
``within_one``         malignancy: share at most one level off
``quadratic_kappa``    malignancy: Cohen's kappa with quadratic weights; undefined where all
                       labels and predictions are of one class
``mae``                malignancy: mean absolute error of the answer, in levels
``rps``                malignancy, images and nodules: mean ranked probability score, 0 (best)
                       to 1; a sure answer d levels off has d / 4
``auc``                malignancy, nodules: mean rating above 3.5 against below 2.5, ranked by
                       the expected level; undefined without both
``balanced_accuracy``  pathology: mean recall of the labelled classes
``macro_f1``           pathology: mean F1 of the classes that are labelled or predicted
``ece``                expected calibration error of the likeliest class's probability
``reliability``        its bins: images, mean confidence, accuracy
``confusion``          counts, rows the label and columns the prediction
=====================  =====================================================================

Beside them: ``diagnosis`` and ``readers`` (readers.py), ``subgroups`` and ``baselines`` (the
modules of these names).  Formulas and sources: counts.py, calibration.py, ranking.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.evaluation.baselines import COMMONEST, Baselines
from lungdx_paddle.evaluation.counts import with_total, without
from lungdx_paddle.evaluation.intervals import Estimate, auc_estimate, differences
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.readers import (
    DiagnosisAucs,
    ReadersCompared,
    clear_nodules,
    compare_readers,
    diagnosis_aucs,
)
from lungdx_paddle.evaluation.subgroups import subgroups
from lungdx_paddle.evaluation.task_scores import Answers, TaskScores

SCORE_LEVELS = ("image", "nodule", "patient")


ByTask = Mapping[str, TaskScores]


class _ByLevel:
    def level(self, level: str) -> ByTask:
        """{task: scores} at the level image, nodule or patient."""
        found: ByTask = vars(self)[level]
        return found


@dataclass(frozen=True)
class Baseline(_ByLevel):
    """The scores of answers without a network, on the same crops, and what a network adds."""

    why: str = ""
    """Why there are none."""
    image: ByTask = field(default_factory=dict)
    nodule: ByTask = field(default_factory=dict)
    patient: ByTask = field(default_factory=dict)
    diagnosis: DiagnosisAucs = field(default_factory=dict)
    gain: Mapping[str, Estimate] = field(default_factory=dict)
    """{score of malignancy by nodule: the network's minus the baseline's, in each resample}."""


@dataclass(frozen=True, repr=False)
class Scores(_ByLevel):
    """Every score of a set of predictions (the module's docstring says what each one is)."""

    images: int
    nodules: int
    patients: int
    image: ByTask
    nodule: ByTask
    patient: ByTask
    diagnosis: DiagnosisAucs
    readers: ReadersCompared
    subgroups: Mapping[str, ByTask]
    """{question: {group: malignancy by nodule}}."""
    baselines: Mapping[str, Baseline]
    """{name: its scores}; empty where the training part was not given."""

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
            fields: dict[str, Any] = _levels(_read(entry))
            baselines = fields["baselines"].items()
            fields["baselines"] = {name: Baseline(**_levels(found)) for name, found in baselines}
            fields["subgroups"] = {n: _by_name(groups) for n, groups in fields["subgroups"].items()}
            fields["readers"] = ReadersCompared(**fields["readers"])
            return Scores(**fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                "metrics.json",
                expected="scores as this version writes them",
                found=f"{type(error).__name__} {error}",
                fix="make them again with tools/eval.py --run",
            ) from error


def evaluate(predictions: Predictions, seed: int = 0, baselines: Baselines | None = None) -> Scores:
    """Score predictions at image, nodule and patient level, readers and baselines beside them.

    Args:
        predictions: of one crop or more.
        seed: of the bootstrap over patients.
        baselines: of :func:`~lungdx_paddle.evaluation.baselines.baseline_predictions`; None: no
            training part is at hand.

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
    parts = _pooled(predictions)
    nodules = parts["nodule"]
    return Scores(
        images=rows,
        nodules=len(nodules),
        patients=len(parts["patient"]),
        **_by_level(parts, seed, confident=True),
        diagnosis=diagnosis_aucs(nodules, seed),
        readers=compare_readers(nodules, seed),
        subgroups=subgroups(predictions, nodules, seed),
        baselines={
            name: Baseline(made)
            if isinstance(made, str)
            else _baseline(made, nodules, seed, ranks=name != COMMONEST)
            for name, made in (baselines or {}).items()
        },
    )


def image_accuracy(predictions: Predictions) -> dict[str, float | None]:
    """Accuracy over images without intervals: {"total": mean of the tasks, task: its own}."""
    found: dict[str, float | None] = {}
    for task, labels in predictions.labels.items():
        known = labels >= 0
        right = predictions.classes[task][known] == labels[known]
        found[task] = float(right.mean()) if known.any() else None
    return with_total(found)


def _pooled(predictions: Predictions) -> dict[str, Predictions]:
    """Predictions at each level."""
    return {level: predictions.pooled(level) for level in SCORE_LEVELS}


def _by_level(
    parts: Mapping[str, Predictions], seed: int, confident: bool = False
) -> dict[str, dict[str, TaskScores]]:
    """{level: {task: scores}} of predictions at each level."""
    found: dict[str, dict[str, TaskScores]] = {}
    for level, part in parts.items():
        answers = {task: Answers.of(task, part, confident) for task in part.labels}
        if level == "patient":
            answers[MALIGNANCY] = Answers.of_most_suspicious(parts["nodule"])
        found[level] = {task: of.scores(seed) for task, of in answers.items()}
    clear, malignant = clear_nodules(parts["nodule"])
    auc = auc_estimate(malignant, clear.expected_levels, clear.patients, seed)
    found["nodule"][MALIGNANCY] = replace(found["nodule"][MALIGNANCY], auc=auc)
    return found


def _baseline(made: Predictions, network: Predictions, seed: int, ranks: bool) -> Baseline:
    """Score a baseline beside the network's predictions, which are pooled by nodule.

    One that sees nothing ranks nothing, although its constant may differ from fold to fold.
    """
    if MALIGNANCY not in made.labels:
        return Baseline("no training crop has a rating")
    parts = _pooled(made)
    nodules = parts["nodule"]
    own, other = (Answers.of(MALIGNANCY, of) for of in (network, nodules))
    gain = own.estimates(seed, differences(own.statistics, other.statistics))
    (clear, malignant), (others, _) = clear_nodules(network), clear_nodules(nodules)
    levels = clear.expected_levels, others.expected_levels
    gain["auc"] = auc_estimate(malignant, levels[0], clear.patients, seed, levels[1])
    aucs = diagnosis_aucs(nodules, seed, readers=False)
    found = _by_level(parts, seed)
    if not ranks:
        none = Estimate(None, None, len(set(clear.patients)), "one answer for all is no ranking")
        gain["auc"] = none
        aucs = {question: dict.fromkeys(by, none) for question, by in aucs.items()}
        found["nodule"][MALIGNANCY] = replace(found["nodule"][MALIGNANCY], auc=none)
    return Baseline("", found["image"], found["nodule"], found["patient"], aucs, gain)


def _plain(value: Any) -> Any:
    """Dataclasses, mappings and tuples as JSON has them, without the fields that are None."""
    match value:
        case Estimate():
            return value.to_dict()
        case Scores() | TaskScores() | ReadersCompared() | Baseline():
            return {k: _plain(v) for k, v in vars(value).items() if v is not None}
        case Mapping():
            return {k: _plain(v) for k, v in value.items()}
        case tuple():
            return [_plain(v) for v in value]
    return value


def _read(value: Any) -> Any:
    """What :func:`_plain` made, with estimates and tuples, its dataclasses still mappings."""
    if isinstance(value, Mapping):
        if "interval" in value:
            return Estimate.from_dict(value)
        return {name: _read(entry) for name, entry in value.items()}
    return tuple(_read(entry) for entry in value) if isinstance(value, list) else value


def _by_name(found: Mapping[str, Any]) -> ByTask:
    return {name: TaskScores(**scores) for name, scores in found.items()}


def _levels(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of :class:`Scores` or :class:`Baseline`, with each level's scores."""
    return {**fields, **{level: _by_name(fields[level]) for level in SCORE_LEVELS}}
