"""Confusion, ROC and calibration of predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.calibration import bin_sums, reliability_curve
from lungdx_paddle.evaluation.counts import confusion
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, too_few
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.ranking import auc, threshold_counts
from lungdx_paddle.evaluation.readers import BENIGN_BELOW, MALIGNANT_ABOVE, clear_nodules


def draw_scores(predictions: Predictions, title: str) -> Figure:
    """Draw each task's confusion by image, and ROC and calibration by nodule.

    Of calibrated predictions the calibration is drawn before, dashed, and after.

    Args:
        predictions: of one crop or more.
        title: which crops they are.
    """
    panels = len(predictions.labels) + 2
    figure = Figure(figsize=(3.75 * panels, 4.2), layout="constrained")
    *confusions, roc, calibration = figure.subplots(1, panels)
    for axes, task in zip(confusions, predictions.labels):
        _draw_confusion(axes, predictions, task)

    nodules = predictions.pooled("nodule")
    clear, malignant = clear_nodules(nodules)
    few = 0 < len(set(clear.patients)) < LEAST_PATIENTS
    area = None if few else auc(malignant, clear.expected_levels)
    counts = f"{int((~malignant).sum())} benign, {int(malignant.sum())} malignant"
    roc.set_title(f"mean rating < {BENIGN_BELOW} against > {MALIGNANT_ABOVE}, nodules", fontsize=10)
    roc.set_xlabel("false positive rate")
    roc.set_ylabel("true positive rate")
    if area is None:
        why = too_few(len(set(clear.patients))) if few else "undefined:"
        roc.text(0.5, 0.4, f"{why}\n{counts}", ha="center", va="top")
    else:
        points = threshold_counts(malignant, clear.expected_levels)
        label = f"AUC {area:.3f}\n{counts}"
        roc.plot(points.false_positive_rate, points.recall, label=label)
        roc.legend(loc="lower right", fontsize=8)

    for number, task in enumerate(nodules.labels):
        if _few(predictions, task):
            calibration.plot([], [], "o-", label=f"{task}: {_few(predictions, task)}")
            continue
        drawn = [("o-", task, nodules)]
        if nodules.raw:
            drawn = [("o--", f"{task}, before", nodules.raw), ("o-", f"{task}, after", nodules)]
        for style, name, part in drawn:
            labels, p = part.labels[task], part.probabilities[task]
            bins = reliability_curve(bin_sums(labels, p, np.zeros(len(labels), dtype=int), 1)[0])
            xy = [b["confidence"] for b in bins], [b["accuracy"] for b in bins]
            look: Any = {"color": f"C{number}", "markersize": 4}
            calibration.plot(*xy, style, label=name if bins else f"{name}: no label", **look)
    calibration.set_title("calibration, nodules", fontsize=10)
    calibration.set_xlabel("mean probability of the likeliest class")
    calibration.set_ylabel("share that is right")
    calibration.legend(loc="best", fontsize=8)
    for axes in (roc, calibration):
        axes.plot([0, 1], [0, 1], "--", color="gray", linewidth=0.8)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=10)
    return figure


def draw_confusion(predictions: Predictions, task: str, title: str) -> Figure:
    """Draw one task's confusion by image.

    Args:
        predictions: of one crop or more.
        task: malignancy or pathology.
        title: which crops they are.
    """
    figure = Figure(figsize=(4.2, 3.8), layout="constrained")
    _draw_confusion(figure.subplots(), predictions, task)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=7)
    return figure


def _draw_confusion(axes: Axes, predictions: Predictions, task: str) -> None:
    classes = predictions.label_set.task_classes[task]
    names = [f"level {c}" for c in classes] if task == MALIGNANCY else classes
    counts = confusion(predictions.labels[task], predictions.classes[task], len(names))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        dark = shares[row, column] > 0.5
        look: Any = {"ha": "center", "va": "center", "fontsize": 8}
        axes.text(column, row, str(counts[row, column]), color="w" if dark else "k", **look)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    title = f"{task}, {counts.sum()} images" if counts.any() else f"{task}: no label"
    title += f"\n{_few(predictions, task)}" if _few(predictions, task) else ""
    axes.set_title(title, fontsize=10)


def _few(predictions: Predictions, task: str) -> str:
    """What to say in place of a task's numbers; nothing where its patients are enough, or none."""
    labels = predictions.labels[task]
    patients = len({p for p, label in zip(predictions.patients, labels) if label >= 0})
    return too_few(patients) if 0 < patients < LEAST_PATIENTS else ""
