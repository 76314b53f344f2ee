"""Confusion, ROC and calibration show what the scores are, and say where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.figures.score_plots import draw_confusion, draw_scores


def test_the_picture_shows_the_scores(
    predictions: Predictions, shown: Callable[..., np.ndarray]
) -> None:
    figure, scores = draw_scores(predictions, "made up"), evaluate(predictions)
    malignancy, pathology, roc, calibration = figure.axes
    for axes, task in ((malignancy, "malignancy"), (pathology, "pathology")):
        counts = [int(text.get_text()) for text in axes.texts]
        assert counts == [n for row in scores.image[task].confusion for n in row]
    assert malignancy.get_title() == "malignancy, 80 images"
    assert pathology.get_title() == "pathology, 30 images\ntoo few: 3 patients"
    (entry,) = roc.get_legend().get_texts()
    auc = scores.nodule["malignancy"].auc
    assert entry.get_text() == (
        f"AUC {auc.value:.3f}\n{auc.benign} benign, {auc.malignant} malignant"
    )
    bins = scores.nodule["malignancy"].reliability
    assert calibration.lines[0].get_ydata() == pytest.approx([b["accuracy"] for b in bins])
    entries = [text.get_text() for text in calibration.get_legend().get_texts()]
    assert entries == ["malignancy", "pathology: too few: 3 patients"]
    assert len(calibration.lines[1].get_ydata()) == 0
    assert figure.get_suptitle() == "made up; research use, not a medical device"
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


def test_what_has_no_label_says_so(
    predictions: Predictions, shown: Callable[..., np.ndarray]
) -> None:
    rows = tuple(replace(row, malignancy_ratings=()) for row in predictions.rows)
    nothing = {task: np.full(len(rows), -1) for task in predictions.labels}
    figure = draw_scores(replace(predictions, rows=rows, labels=nothing), "made up")
    _, pathology, roc, calibration = figure.axes
    assert pathology.get_title() == "pathology: no label"
    assert [text.get_text() for text in roc.texts] == ["undefined:\n0 benign, 0 malignant"]
    entries = [text.get_text() for text in calibration.get_legend().get_texts()]
    assert entries == ["malignancy: no label", "pathology: no label"]
    shown(figure)


def test_calibrated_predictions_show_the_calibration_before_and_after(
    predictions: Predictions, shown: Callable[..., np.ndarray]
) -> None:
    after = predictions.calibrated([Calibration({"malignancy": 2.0})])
    figure = draw_scores(after, "made up")
    calibration = figure.axes[-1]
    entries = [text.get_text() for text in calibration.get_legend().get_texts()]
    assert entries[:2] == ["malignancy, before", "malignancy, after"]
    for line, part in zip(calibration.lines, (predictions, after)):
        bins = evaluate(part).nodule["malignancy"].reliability
        assert line.get_ydata() == pytest.approx([b["accuracy"] for b in bins])
        assert line.get_xdata() == pytest.approx([b["confidence"] for b in bins])
    shown(figure)


def test_one_task_has_one_confusion(
    predictions: Predictions, shown: Callable[..., np.ndarray]
) -> None:
    labels = {"malignancy": predictions.labels["malignancy"]}
    alone = replace(predictions, labels=labels, label_set=LABEL_SETS["none"])
    figure = draw_scores(alone, "made up")
    confusion, _, calibration = figure.axes
    assert confusion.get_title() == "malignancy, 80 images"
    assert [t.get_text() for t in calibration.get_legend().get_texts()] == ["malignancy"]
    shown(figure)


def test_one_confusion_alone(predictions: Predictions) -> None:
    figure = draw_confusion(predictions, "malignancy", "test part, step 5")
    (axes,) = figure.axes
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == [f"level {k}" for k in range(1, 6)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "label")
    assert figure.get_suptitle().startswith("test part, step 5; research use")
