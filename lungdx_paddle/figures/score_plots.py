"""Pictures of how well a network does: confusion, ROC, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.calibration import bin_sums, reliability_curve
from lungdx_paddle.evaluation.counts import confusion
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.ranking import auc, threshold_counts
from lungdx_paddle.evaluation.scores import clear_nodules

if TYPE_CHECKING:  # matplotlib takes long to import, and most tools draw nothing
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_scores(predictions: Predictions, title: str) -> Figure:
    """Both confusions by image, the ROC by nodule, and how sure is right how often.

    Args:
        predictions: of the crops that are judged.
        title: what and which part they are.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.2), layout="constrained")
    places = figure.subplots(1, 4)
    _draw_confusion(places[0], predictions, MALIGNANCY)
    _draw_confusion(places[1], predictions, PATHOLOGY)
    _draw_roc(places[2], predictions)
    _draw_reliability(places[3], predictions)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=10)
    return figure


def draw_confusion(predictions: Predictions, task: str, title: str) -> Figure:
    """One task's confusion by image.

    Args:
        predictions: of the crops that are judged.
        task: malignancy or pathology.
        title: what and which part they are.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.8), layout="constrained")
    _draw_confusion(figure.subplots(), predictions, task)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=7)
    return figure


def pixels(figure: Figure) -> np.ndarray:
    """(rows, columns, 3) uint8 RGB of a figure, for who shows pictures and reads no files."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def _draw_confusion(axes: Axes, predictions: Predictions, task: str) -> None:
    classes = predictions.label_set.task_classes[task]
    names = [f"level {c}" for c in classes] if task == MALIGNANCY else classes
    labels = predictions.labels[task]
    counts = confusion(labels, predictions.classes[task], len(names))
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
    axes.set_title(f"{task}, images")


def _draw_roc(axes: Axes, predictions: Predictions) -> None:
    clear, malignant = clear_nodules(predictions.pooled("nodule"))
    points, area = (
        threshold_counts(malignant, clear.expected_levels),
        auc(malignant, clear.expected_levels),
    )
    axes.set_title("mean rating < 2.5 against > 3.5, nodules")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    axes.set_aspect("equal")
    axes.plot([0, 1], [0, 1], "--", color="gray", linewidth=0.8)
    counts = f"{int((~malignant).sum())} benign, {int(malignant.sum())} malignant"
    if area is None:
        axes.text(0.5, 0.5, f"undefined:\n{counts}", ha="center", va="center")
        return
    axes.plot(points.false_positive_rate, points.recall, label=f"AUC {area:.3f}\n{counts}")
    axes.legend(loc="lower right", fontsize=8)


def _draw_reliability(axes: Axes, predictions: Predictions) -> None:
    axes.plot([0, 1], [0, 1], "--", color="gray", linewidth=0.8)
    for task, labels in predictions.labels.items():
        whole = np.zeros(len(labels), dtype=int)
        bins = reliability_curve(bin_sums(labels, predictions.probabilities[task], whole, 1)[0])
        axes.plot([b["confidence"] for b in bins], [b["accuracy"] for b in bins], "o-", label=task)
    axes.set_title("calibration, images")
    axes.set_xlabel("mean probability of the predicted class")
    axes.set_ylabel("share that is right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.legend(loc="upper left", fontsize=8)
