"""The paper's Figure 7, with intervals: methods side by side, by every measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.evaluation.comparison import Comparison, MethodScore
from lungdx_paddle.words import count_of

WIDTH = 0.8
"""Of all methods at one measure; the measures are 1 apart."""


def draw_methods(comparison: Comparison, title: str) -> Figure:
    """Draw a column for each split: measures of images above, of nodules and patients below.

    A method has its mean over trainings with the 95 % interval, and a dot for each training.

    Args:
        comparison: of two methods or more.
        title: which data.
    """
    scores = comparison.scores
    splits = list(dict.fromkeys(row.split for row in scores))
    of_images = [row for row in scores if row.measure.level == "image"]
    others = [row for row in scores if row.measure.level != "image"]
    levels = [rows for rows in (of_images, others) if rows]
    size = 1.6 + 4.6 * len(splits), 1.4 + 3.2 * len(levels)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(len(levels), len(splits), sharey="row", squeeze=False)
    for line, rows in zip(panels, levels):
        for axes, split in zip(line, splits):
            _draw(axes, [row for row in rows if row.split == split])
        low, high = line[0].get_ylim()
        least = min([0.0, *(v for row in rows for v in row.trainings if v is not None)])
        line[0].set_ylim(max(low, least), min(high, 1.0))
        line[0].set_ylabel("of images" if rows is of_images else "of nodules and patients")
    for axes, split in zip(panels[0], splits):
        axes.set_title(f"split by {split}")
    drawn = panels[0, 0].get_legend_handles_labels()
    figure.legend(*drawn, loc="outside lower center", ncols=len(drawn[1]), fontsize=8)
    note = "mean over trainings, 95 % interval for other trainings and patients; dots: trainings"
    figure.suptitle(f"{title}\n{note}\n{RESEARCH_USE}", fontsize=9)
    return figure


def _draw(axes: Axes, rows: Sequence[MethodScore]) -> None:
    """Draw the methods on one split, a place on the x axis for each measure."""
    measures = list(dict.fromkeys(row.measure for row in rows))
    methods = list(dict.fromkeys(row.method for row in rows))
    for k, method in enumerate(methods):
        shown = [row for row in rows if row.method == method and not row.estimate.too_few]
        shown = [row for row in shown if row.estimate.value is not None]
        means = np.array([row.estimate.value for row in shown], dtype=float)
        spans = np.array([row.estimate.interval or (m, m) for row, m in zip(shown, means)])
        places = np.array([float(measures.index(row.measure)) for row in shown])
        places += (k + 0.5) / len(methods) * WIDTH - WIDTH / 2
        away = np.abs(spans.reshape(-1, 2).T - means)
        color = f"C{k}"
        axes.errorbar(places, means, away, fmt="D", color=color, ms=5, capsize=3, label=method)
        for place, row in zip(places, shown):
            dots = [value for value in row.trainings if value is not None]
            beside = np.full(len(dots), place + 0.25 * WIDTH / len(methods))
            axes.plot(beside, dots, ".", color=color, alpha=0.6, markersize=4)
    names = []
    for measure in measures:
        row = next(row for row in rows if row.measure == measure)
        count = count_of(row.estimate.patients, "patient")
        if row.estimate.too_few or (row.estimate.value is None and row.estimate.patients):
            count = f"{'too few' if row.estimate.too_few else 'undefined'}: {count}"
        names.append(f"{measure.task}\n{measure.score_name}\nby {measure.level}\n{count}")
    axes.set_xticks(range(len(measures)), names, fontsize=7)
    axes.set_xlim(-0.5, len(measures) - 0.5)
    axes.grid(axis="y", alpha=0.3)
