"""Figure 7: a mean with its interval for each method and measure, a dot for each training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.evaluation.comparison import Comparison, Training, compare_methods
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.method_bars import draw_methods


@pytest.fixture
def comparison(predictions: Predictions) -> Comparison:
    """Two methods of two trainings; by patient nobody has a pathology label."""
    turned = {t: np.roll(p, 1, axis=0) for t, p in predictions.probabilities.items()}
    other = replace(predictions, probabilities=turned)
    bare = {**predictions.labels, "pathology": np.full(len(predictions), -1)}
    methods = {"soft": [predictions, other], "hard": [other, other]}
    undiagnosed = {name: [replace(s, labels=bare) for s in own] for name, own in methods.items()}
    return compare_methods(
        {
            split: {name: [Training(k, 0, p) for k, p in enumerate(own)] for name, own in m.items()}
            for split, m in {"image": methods, "patient": undiagnosed}.items()
        }
    )


def test_each_method_has_its_mean_interval_and_a_dot_for_each_training(
    comparison: Comparison, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_methods(comparison, "made up")
    image, patient = figure.axes[:2]
    rows = [row for row in comparison.scores if row.split == "image"]
    known = [row for row in rows if row.measure.level == "image" and not row.estimate.too_few]
    for container, method in zip(image.containers, ("soft", "hard")):
        own = [row for row in known if row.method == method]
        assert container.get_label() == method
        means, (low, high), _ = container
        assert means.get_ydata() == pytest.approx([row.estimate.value for row in own])
        assert [low.get_ydata(), high.get_ydata()] == [
            pytest.approx([row.estimate.interval[k] for row in own]) for k in (0, 1)
        ]
    dots = [line.get_ydata() for line in image.lines if line.get_marker() == "."]
    assert [list(d) for d in dots] == [
        list(row.trainings) for row in sorted(known, key=lambda row: row.method != "soft")
    ]
    names = [text.get_text() for text in image.get_xticklabels()]
    assert names[2] == "pathology\naccuracy\nby image\ntoo few: 3 patients"
    names = [text.get_text() for text in patient.get_xticklabels()]
    assert [name.split("\n")[-1] for name in names] == ["8 patients", "8 patients", "0 patients"]
    assert "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 20


def test_no_text_covers_another_or_a_panel(
    comparison: Comparison, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_methods(comparison, "made up")
    shown(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["soft", "hard"]
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())
        boxes = [text.get_window_extent() for text in axes.get_xticklabels()]
        assert not any(left.overlaps(right) for left, right in zip(boxes, boxes[1:]))
