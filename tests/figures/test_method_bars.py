"""Figure 7: a bar a method, an interval, a dot a seed, and the same numbers as tables."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.evaluation.comparison import Comparison, compare_methods
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.method_bars import draw_methods, write_comparison


@pytest.fixture
def comparison(predictions: Predictions) -> Comparison:
    """Two methods of two seeds; by patient nobody has a pathology label."""
    turned = {t: np.roll(p, 1, axis=0) for t, p in predictions.probabilities.items()}
    other = replace(predictions, probabilities=turned)
    bare = {**predictions.labels, "pathology": np.full(len(predictions), -1)}
    methods = {"soft": [predictions, other], "hard": [other, other]}
    undiagnosed = {name: [replace(s, labels=bare) for s in own] for name, own in methods.items()}
    return compare_methods({"image": methods, "patient": undiagnosed})


def test_each_method_has_a_bar_for_each_task_and_a_dot_for_each_seed(
    comparison: Comparison, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_methods(comparison, "made up")
    image, patient = figure.axes
    by_bar = {
        (bars.get_label(), task): bar.get_height()
        for bars in image.containers
        if hasattr(bars, "patches")
        for task, bar in zip(("both", "malignancy", "pathology"), bars.patches)
    }
    few = [row for row in comparison.accuracies[:6] if row.task == "pathology"]
    assert all(row.accuracy.too_few for row in few)
    for row in comparison.accuracies[:6]:
        shown_as = None if row in few else row.accuracy.value
        assert by_bar.get((row.method, row.task)) == shown_as
    names = [text.get_text() for text in image.get_xticklabels()]
    assert names[2] == "pathology\ntoo few: 3 patients"
    names = [text.get_text() for text in patient.get_xticklabels()]
    assert names == ["both\n8 patients", "malignancy\n8 patients", "pathology\n0 patients"]
    assert "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 20


def test_the_legend_covers_no_bar(comparison: Comparison, shown: Callable[..., np.ndarray]) -> None:
    figure = draw_methods(comparison, "made up")
    shown(figure)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["soft", "hard"]
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not legend.get_window_extent().overlaps(axes.get_window_extent())


def test_the_tables_hold_the_same_numbers(comparison: Comparison, tmp_path: Path) -> None:
    paths = write_comparison(tmp_path, comparison, "made up")
    assert [path.name for path in paths] == [
        "figure7.csv",
        "figure7_tests.csv",
        "figure7.md",
        "figure7.png",
    ]
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    for found, row in zip(rows, comparison.accuracies):
        assert (found["split"], found["task"], found["method"]) == (row.split, row.task, row.method)
        if row.accuracy.value is None:
            assert (found["accuracy"], found["low"], found["patients"]) == ("", "", "0")
        else:
            assert float(found["accuracy"]) == pytest.approx(row.accuracy.value, abs=1e-4)
            low = "" if row.accuracy.too_few else f"{row.accuracy.interval[0]:.4f}"
            assert found["low"] == low
    with paths[1].open(newline="") as file:
        assert len(list(csv.DictReader(file))) == len(comparison.differences) == 6
    text = paths[2].read_text()
    assert text.startswith("# made up\n\n| split | task | method | accuracy | low | high |")
    assert "| patient | pathology | soft | - | - | - |" in text
    assert "*Research use, not a medical device.*" in text
    assert paths[3].stat().st_size > 10_000
