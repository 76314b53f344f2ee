"""The paper's Figure 7, with intervals: methods side by side, and the tables behind it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.evaluation.comparison import Comparison
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, Interval
from lungdx_paddle.figures.canvas import save_figure
from lungdx_paddle.files import write_text
from lungdx_paddle.words import count_of


def draw_methods(comparison: Comparison, title: str) -> Figure:
    """Draw a panel for each split: a bar for each method and task, a dot for each seed.

    Args:
        comparison: of two methods or more.
        title: which data.
    """
    rows = comparison.accuracies
    splits, tasks, methods = (
        list(dict.fromkeys(getattr(row, key) for row in rows))
        for key in ("split", "task", "method")
    )
    figure = Figure(figsize=(1.6 + 4.2 * len(splits), 4.6), layout="constrained")
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    width = 0.8 / len(methods)
    for axes, split in zip(panels, splits):
        for k, method in enumerate(methods):
            own = [row for row in rows if (row.split, row.method) == (split, method)]
            own = [row for row in own if not row.accuracy.too_few]
            heights = [row.accuracy.value or 0.0 for row in own]
            spans = [row.accuracy.interval or (h, h) for row, h in zip(own, heights)]
            places = np.array([tasks.index(row.task) for row in own])
            places = places + (k - (len(methods) - 1) / 2) * width
            errors = [[h - low, high - h] for h, (low, high) in zip(heights, spans)]
            look: Any = {"capsize": 2, "error_kw": {"linewidth": 0.8}}
            below_above = np.maximum(np.array(errors).reshape(-1, 2).T, 0.0)
            axes.bar(places, heights, width, yerr=below_above, label=method, **look)
            for place, row in zip(places, own):
                known = [value for value in row.seeds if value is not None]
                axes.plot([place] * len(known), known, "k.", markersize=3)
        patients = {row.task: row.accuracy.patients for row in rows if row.split == split}
        names = [
            f"{task}\n{'too few: ' * (0 < patients[task] < LEAST_PATIENTS)}"
            f"{count_of(patients[task], 'patient')}"
            for task in tasks
        ]
        axes.set_xticks(range(len(tasks)), names)
        axes.set_title(f"split by {split}")
        axes.set_ylim(0, 1)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("test accuracy (share of images)")
    bars = panels[0].get_legend_handles_labels()
    figure.legend(*bars, loc="outside lower center", ncols=len(methods), fontsize=8)
    note = "bars: all seeds, with 95 % intervals over patients; dots: single seeds"
    figure.suptitle(f"{title}\n{note}\n{RESEARCH_USE}", fontsize=9)
    return figure


def comparison_tables(comparison: Comparison) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Accuracies and differences as rows of text; ``low`` to ``high`` is the 95 % interval."""
    accuracies = [
        {
            "split": row.split,
            "task": row.task,
            "method": row.method,
            "accuracy": _shown(row.accuracy.value),
            **_span(row.accuracy.interval, row.accuracy.patients),
            "seeds": ";".join(map(_shown, row.seeds)),
            "patients": str(row.accuracy.patients),
        }
        for row in comparison.accuracies
    ]
    differences = [
        {
            "split": row.split,
            "task": row.task,
            "first": row.first,
            "second": row.second,
            "difference": _shown(row.difference),
            **_span(row.interval, row.patients),
            "p": _shown(row.p),
            "p_holm": _shown(row.p_holm),
            "patients": str(row.patients),
        }
        for row in comparison.differences
    ]
    return accuracies, differences


def write_comparison(out: Path, comparison: Comparison, title: str) -> list[Path]:
    """Write ``figure7.csv``, ``figure7_tests.csv``, ``figure7.md`` and ``figure7.png``.

    Raises:
        OutputError: one cannot be written.
    """
    paths = [out / f"figure7{end}" for end in (".csv", "_tests.csv", ".md", ".png")]
    page = [f"# {title}"]
    for path, rows in zip(paths, comparison_tables(comparison)):
        names = list(rows[0])
        cells = [names, ["---"] * len(names), *([r[name] or "-" for name in names] for r in rows)]
        page.append("\n".join(f"| {' | '.join(line)} |" for line in cells))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(path, text.getvalue())
    page.append(
        "An accuracy is a share of images; `difference` is of first - second, each patient's mean "
        "over their images, averaged over patients. So it need not be the accuracies' difference."
    )
    page.append(f"*{RESEARCH_USE[:1].upper()}{RESEARCH_USE[1:]}.*")
    write_text(paths[2], "\n\n".join(page) + "\n")
    save_figure(draw_methods(comparison, title), paths[3])
    return paths


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _span(interval: Interval, patients: int) -> dict[str, str]:
    low, high = interval if interval and patients >= LEAST_PATIENTS else (None, None)
    return {"low": _shown(low), "high": _shown(high)}
