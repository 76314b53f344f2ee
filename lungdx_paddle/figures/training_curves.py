"""The paper's Figure 6: loss and accuracies of a training by step, the paper's beside ours."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.config import load_config
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.figures.canvas import PHANTOM_DATA
from lungdx_paddle.files import UnreadableError, read_json
from lungdx_paddle.settings import Config
from lungdx_paddle.training.table2 import PAPER_COLUMNS, read_table2

STEP, _, LOSS, TRAIN, TEST = PAPER_COLUMNS

PAPER: dict[str, tuple[float, ...]] = {
    STEP: tuple(range(100, 1500, 100)),
    LOSS: (
        *(3.6882436, 3.3388233, 3.2287679, 3.0206234, 2.6285636, 2.3938682, 2.2445056),
        *(1.763767, 1.7248821, 1.56265, 1.2806141, 1.7929072, 1.055293, 0.9944974),
    ),
    TRAIN: (
        *(0.232, 0.25859375, 0.3164, 0.222, 0.268, 0.27575, 0.3245),
        *(0.3328125, 0.35546875, 0.41015625, 0.43453125, 0.454703125, 0.56734375, 0.573203125),
    ),
    TEST: (
        *(0.2258441, 0.23714285, 0.26675325, 0.293461039, 0.32097402, 0.23493506, 0.2762987),
        *(0.28116883, 0.29623375, 0.38324675, 0.3918182, 0.4283117, 0.45214284, 0.5614935),
    ),
}
"""The paper's Table 2 by column."""

COLOURS = {LOSS: "tab:green", TRAIN: "tab:blue", TEST: "tab:orange"}


@dataclass(frozen=True)
class Curves:
    """Loss and accuracies that a training logged."""

    config: Config
    table: dict[str, np.ndarray]
    """{column of Table 2: (rows,) values}, nan where there is none."""
    each_step: tuple[np.ndarray, np.ndarray]
    """(n,) steps and (n,) total losses of every step, of the VisualDL log; may be empty."""
    data: str
    """phantom, or the manifest; empty while the training is not finished."""

    @property
    def comparable(self) -> bool:
        """Whether the paper's numbers may stand beside these: real crops, its six classes."""
        return self.data not in ("", "phantom") and self.config.data.label_set == "paper6"


def read_curves(run: Path) -> Curves:
    """Read the table and, if there is one, the log of a training, finished or not.

    Raises:
        CheckpointError: there is no table, or it has no rows yet; it, the log or metrics.json
            cannot be read.
        ConfigError: the folder's config cannot be read.
    """
    rows = read_table2(run / "table2.csv")
    if not rows:
        raise CheckpointError(
            str(run),
            expected="the output folder of a training with a row in its table2.csv",
            found="none",
            fix="train first, or wait until the first row is there",
        )
    columns = (STEP, LOSS, TRAIN, TEST)
    table = {name: np.array([float(row[name] or "nan") for row in rows]) for name in columns}
    metrics = run / "metrics.json"
    try:
        data = str(read_json(metrics)["data"]) if metrics.exists() else ""
    except (UnreadableError, KeyError, TypeError) as error:
        raise CheckpointError(
            str(metrics),
            expected="the metrics of a run",
            found=str(error) if isinstance(error, UnreadableError) else "other entries",
            fix="evaluate the run again (tools/eval.py --run DIR)",
        ) from error
    each_step = np.zeros(0), np.zeros(0)
    # VisualDL, which reads its log, comes with the extras that train.
    if any((run / "vdl").glob("*")) and importlib.util.find_spec("visualdl"):
        from lungdx_paddle.training.dashboard import read_scalar

        each_step = read_scalar(run / "vdl", "loss/total")
    return Curves(load_config(run / "config.yaml"), table, each_step, data)


class _Decimal(LogFormatter):
    """Writes 0.1 beside 1, where Matplotlib writes 1e-01."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def draw_curves(*runs: Curves) -> Figure:
    """Draw each training's loss and accuracies over its steps.

    Dashed is the paper's Table 2, where it may be compared (:attr:`Curves.comparable`); it does
    not say how it split.

    Args:
        runs: a row of two panels each; at least one.
    """
    figure = Figure(figsize=(10, 3.4 * len(runs) + 0.4), layout="constrained")
    panels = figure.subplots(len(runs), 2, squeeze=False, sharey="col")
    for (left, right), curves in zip(panels, runs):
        if len(curves.each_step[0]):
            look: Any = {"color": COLOURS[LOSS], "alpha": 0.3, "linewidth": 0.7}
            left.plot(*curves.each_step, label="ours, every step", **look)
        _draw_line(left, curves, LOSS, "training loss")
        _draw_line(right, curves, TRAIN, "training part")
        _draw_line(right, curves, TEST, "test part")
        left.set_yscale("log")
        left.yaxis.set_major_formatter(_Decimal())
        # By default, Matplotlib before 3.11 labels no minor tick of an axis over one decade.
        few = _Decimal(labelOnlyBase=False, minor_thresholds=(2, 0.4))
        left.yaxis.set_minor_formatter(few)
        tasks = LABEL_SETS[curves.config.data.label_set].task_classes
        left.set_ylabel(f"loss of the step: {', '.join(tasks)}, L2")
        right.set_ylim(0, 1)
        right.set_ylabel(f"accuracy: {', '.join(tasks)}")
        config = curves.config
        state = {"": " (not finished)", "phantom": f" ({PHANTOM_DATA})"}.get(curves.data, "")
        for axes in (left, right):
            title = f"{config.name}, split by {config.data.split}, seed {config.seed}{state}"
            axes.set_title(title, fontsize=10)
            axes.set_xlabel("training step")
            axes.set_xlim(0)
            axes.grid(alpha=0.3)
            axes.legend(fontsize=8)
    note = "accuracy: share of images, the mean of a network's tasks"
    figure.suptitle(f"{note}; {RESEARCH_USE}", fontsize=10)
    return figure


def _draw_line(axes: Axes, curves: Curves, column: str, name: str) -> None:
    look: Any = {"color": COLOURS[column], "markersize": 3}
    axes.plot(curves.table[STEP], curves.table[column], "o-", label=f"ours, {name}", **look)
    if curves.comparable:
        axes.plot(PAPER[STEP], PAPER[column], "o--", label=f"paper, {name}", alpha=0.6, **look)
