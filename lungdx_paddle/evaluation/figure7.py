"""The paper's Figure 7, with intervals: methods side by side, by image and by patient."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.evaluation.comparison import compare_methods
from lungdx_paddle.evaluation.counts import ratio
from lungdx_paddle.evaluation.estimate import estimate, numbered
from lungdx_paddle.evaluation.predictions import Predicted
from lungdx_paddle.files import write_text, writing

BOTH = "both"
"""Mean of the two tasks' accuracies, the paper's number."""

Results = Mapping[str, Mapping[str, Sequence[Predicted]]]
"""{split: {method: predictions of each seed's test part}}."""

Row = dict[str, Any]


def summarise(results: Results) -> list[Row]:
    """Accuracy of each method on each split, per task and of both.

    The accuracy is over all seeds' test images; its interval is a bootstrap over patients,
    each with all their images of all seeds.

    Returns:
        Rows of ``split, task, method, accuracy, low, high, seeds`` (each seed's own accuracy),
        ``patients``; None where there is no label.
    """
    return [
        _summary(split, task, method, seeds)
        for split, methods in results.items()
        for task in (BOTH, *_tasks(methods))
        for method, seeds in methods.items()
    ]


def pairwise_tests(results: Results) -> list[Row]:
    """Every pair of methods, on each split and task.

    A sign-flip permutation test over patients of their mean accuracy, corrected by Holm for
    the pairs of one split and task; for both tasks a patient's mean is over all that is
    labelled of them.

    Returns:
        Rows of ``split, task``, then what
        :func:`lungdx_paddle.evaluation.comparison.compare_methods` gives.
    """
    rows: list[Row] = []
    for split, methods in results.items():
        for task in (BOTH, *_tasks(methods)):
            tasks = _tasks(methods) if task == BOTH else [task]
            right: dict[str, np.ndarray] = {}
            patients: list[str] = []
            for method, seeds in methods.items():
                right[method], patients = _items(seeds, tasks)
            rows += [{"split": split, "task": task, **r} for r in compare_methods(right, patients)]
    return rows


def markdown(summary: Sequence[Row], tests: Sequence[Row]) -> str:
    """Both tables as Markdown."""
    lines = [
        "| split | task | method | accuracy | 95 % interval | each seed | patients |",
        "|---|---|---|--:|--:|---|--:|",
    ]
    for row in summary:
        seeds = ", ".join(_shown(value) for value in row["seeds"])
        lines.append(
            f"| {row['split']} | {row['task']} | {row['method']} | {_shown(row['accuracy'])} | "
            f"{_span(row['low'], row['high'])} | {seeds} | {row['patients']} |"
        )
    lines += [
        "",
        "| split | task | first | second | difference | 95 % interval | p | p (Holm) |",
        "|---|---|---|---|--:|--:|--:|--:|",
    ]
    for row in tests:
        low, high = row["interval"] or (None, None)
        lines.append(
            f"| {row['split']} | {row['task']} | {row['first']} | {row['second']} | "
            f"{_shown(row['difference'])} | {_span(low, high)} | {_shown(row['p'])} | "
            f"{_shown(row['p_holm'])} |"
        )
    return "\n".join([*lines, "", f"*{RESEARCH_USE[:1].upper()}{RESEARCH_USE[1:]}.*", ""])


def write_figure7(out: Path, results: Results, title: str) -> list[Path]:
    """Write ``figure7.csv``, ``figure7_tests.csv``, ``figure7.md`` and ``figure7.png``.

    Raises:
        OutputError: one cannot be written.
    """
    summary, tests = summarise(results), pairwise_tests(results)
    paths = [out / f"figure7{end}" for end in (".csv", "_tests.csv", ".md", ".png")]
    write_text(paths[0], _csv([{**r, "seeds": ";".join(map(_shown, r["seeds"]))} for r in summary]))
    spans = [_span(*(row["interval"] or (None, None))) for row in tests]
    write_text(paths[1], _csv([{**r, "interval": span} for r, span in zip(tests, spans)]))
    write_text(paths[2], f"# {title}\n\n{markdown(summary, tests)}")
    with writing(paths[3]):
        _draw(summary, title).savefig(paths[3], dpi=110)
    return paths


def _tasks(methods: Mapping[str, Sequence[Predicted]]) -> list[str]:
    return list(next(iter(methods.values()))[0].labels)


def _items(seeds: Sequence[Predicted], tasks: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Right or wrong of every labelled image of every seed, and its patient."""
    right: list[np.ndarray] = []
    patients: list[str] = []
    for predicted in seeds:
        for task in tasks:
            known = predicted.labels[task] >= 0
            right.append(predicted.right(task)[known])
            patients += [p for p, is_known in zip(predicted.patients, known) if is_known]
    return np.concatenate(right), patients


def _summary(split: str, task: str, method: str, seeds: Sequence[Predicted]) -> Row:
    tasks = list(seeds[0].labels) if task == BOTH else [task]
    own = [_accuracy([predicted], tasks)["value"] for predicted in seeds]
    all_seeds = _accuracy(seeds, tasks)
    low, high = all_seeds["interval"] or (None, None)
    return {
        "split": split,
        "task": task,
        "method": method,
        "accuracy": all_seeds["value"],
        "low": low,
        "high": high,
        "seeds": own,
        "patients": all_seeds["patients"],
    }


def _accuracy(seeds: Sequence[Predicted], tasks: Sequence[str]) -> dict[str, Any]:
    """Mean of the tasks' accuracies with its interval; a task without any label is left out."""
    labelled = [t for t in tasks if any((predicted.labels[t] >= 0).any() for predicted in seeds)]
    tasks = labelled or list(tasks)
    everyone, count = numbered([name for predicted in seeds for name in predicted.patients])
    sums = np.zeros((count, len(tasks), 2))
    for k, task in enumerate(tasks):
        known = np.concatenate([predicted.labels[task] >= 0 for predicted in seeds])
        right = np.concatenate([predicted.right(task) for predicted in seeds])
        sums[:, k, 0] = np.bincount(everyone, right * known, count)
        sums[:, k, 1] = np.bincount(everyone, known, count)
    sums = sums[sums[..., 1].sum(axis=1) > 0]
    return estimate(sums, _mean_of_ratios, "no image has a label")


def _mean_of_ratios(sums: np.ndarray) -> np.ndarray:
    means: np.ndarray = ratio(sums[..., 0], sums[..., 1]).mean(axis=-1)
    return means


def _draw(summary: Sequence[Row], title: str) -> Any:
    from matplotlib.figure import Figure

    splits = list(dict.fromkeys(row["split"] for row in summary))
    tasks = list(dict.fromkeys(row["task"] for row in summary))
    methods = list(dict.fromkeys(row["method"] for row in summary))
    figure = Figure(figsize=(1.6 + 4.2 * len(splits), 4.2), layout="constrained")
    panels = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    width = 0.8 / len(methods)
    for axes, split in zip(panels, splits):
        for k, method in enumerate(methods):
            rows = [r for r in summary if (r["split"], r["method"]) == (split, method)]
            places = np.arange(len(tasks)) + (k - (len(methods) - 1) / 2) * width
            heights = [row["accuracy"] or 0.0 for row in rows]
            looks = {"capsize": 2, "error_kw": {"linewidth": 0.8}}
            axes.bar(places, heights, width, yerr=_errors(rows), label=method, **looks)
            for place, row in zip(places, rows):
                known = [value for value in row["seeds"] if value is not None]
                axes.plot([place] * len(known), known, "k.", markersize=3)
        axes.set_xticks(range(len(tasks)), tasks)
        axes.set_title(f"split by {split}")
        axes.set_ylim(0, 1)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_ylabel("test accuracy (share of images)")
    panels[-1].legend(fontsize=8, loc="upper right")
    note = "bars: all seeds, with 95 % intervals over patients; dots: single seeds"
    figure.suptitle(f"{title}\n{note}; {RESEARCH_USE}", fontsize=9)
    return figure


def _errors(rows: Sequence[Row]) -> np.ndarray:
    """(2, n) below and above; none where there is no interval."""
    spans = [
        (r["accuracy"] - r["low"], r["high"] - r["accuracy"]) if r["low"] is not None else (0, 0)
        for r in rows
    ]
    return np.maximum(np.array(spans, float).T, 0.0)


def _csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: _shown(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows
    )
    return text.getvalue()


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _span(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"{low:.4f} to {high:.4f}"
