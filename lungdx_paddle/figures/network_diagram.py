"""The network as a picture, drawn from a config (the paper's Figure 5)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Polygon, Rectangle

from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.models.network import sites_of
from lungdx_paddle.models.tower import stage_shapes
from lungdx_paddle.settings import STAGES, TRUNK, Config

Shape = tuple[int, ...]

OPERATIONS = {
    "conv1": "conv 3x3, BN, ReLU",
    "pool1": "max-pool 2",
    "conv2": "conv 3x3, BN, ReLU",
    "pool2": "max-pool 2",
    "fc": "linear, BN, ReLU",
}
"""What each stage does (:class:`lungdx_paddle.models.tower.Tower`)."""

OWN, CROSS = "0.45", "tab:orange"
TOWERS = ("#9ecae1", "#a1d99b", "#c7c7c7")
"""Faces of the first tower, the second, and a trunk."""

PITCH = 2.2
"""From one stage to the next; a crop's side is 1."""
BEFORE, AFTER = 0.68, 0.78
"""From an arrow's tip to the middle of a stage, and on to the next arrow."""
HEIGHT = 1.15
"""Of a tower's axis above and below the middle."""
PANEL_INCHES = (12.0, 3.5)


def draw_network(*configs: Config) -> Figure:
    """Draw each config's network: towers, sharing units at their sites, heads.

    A block's face is a feature map, its depth grows with the channels' logarithm; below it
    stand channels x rows x columns.  Orange is what the towers take from each other.

    Args:
        configs: one panel each; at least one.
    """
    width, height = PANEL_INCHES
    figure = Figure(figsize=(width, height * len(configs)), layout="constrained")
    for axes, config in zip(figure.subplots(len(configs), 1, squeeze=False)[:, 0], configs):
        _draw_panel(axes, config)
    return figure


def unit_weights(unit: str, shape: Shape) -> int:
    """Number of weights of a sharing unit between features of ``shape`` (without the batch)."""
    return 4 * {"scalar": 1, "channel": shape[0], "dense": math.prod(shape) ** 2}[unit]


def _draw_panel(axes: Axes, config: Config) -> None:
    classes = LABEL_SETS[config.data.label_set].task_classes
    heads = {task: HEIGHT * (len(classes) - 1 - 2 * k) for k, task in enumerate(classes)}
    sites = sites_of(config)
    towers = {TRUNK: 0.0} if TRUNK in sites else heads
    axes.add_patch(Rectangle((-0.5, -0.5), 1, 1, facecolor="black"))
    axes.add_patch(Circle((0, 0), 0.22, facecolor="0.75"))
    text = f"crop\n{CROP_SIZE} x {CROP_SIZE}"
    axes.text(0, -0.62, text, ha="center", va="top", fontsize=8)
    for face, y in zip(TOWERS if len(towers) > 1 else TOWERS[2:], towers.values()):
        _arrow(axes, (0.55, 0.0), (PITCH - BEFORE, y), OWN)
        _draw_tower(axes, y, stage_shapes(config.model), face)
    for k, (stage, shape) in enumerate(stage_shapes(config.model).items()):
        if stage in sites:
            left, right = PITCH * (k + 1) + AFTER, PITCH * (k + 2) - BEFORE
            for y in towers.values():
                _arrow(axes, (left, y), (right, -y), CROSS)
            count = unit_weights(config.sharing.unit, shape)
            shown = f"{count / 1e6:.1f} million" if count >= 1e6 else str(count)
            look: Any = {"ha": "center", "va": "center", "fontsize": 7}
            look["bbox"] = {"boxstyle": "round", "facecolor": "white", "edgecolor": CROSS}
            look["bbox"]["linewidth"] = 0.8
            text = f"{config.sharing.unit}\n{shown}\nweights"
            axes.text((left + right) / 2, 0, text, **look)
    for task, y in heads.items():
        start = PITCH * len(STAGES) + AFTER, towers.get(task, 0.0)
        _arrow(axes, start, (PITCH * (len(STAGES) + 1) - 0.2, y), OWN)
        x, names = PITCH * (len(STAGES) + 1), classes[task]
        axes.add_patch(Rectangle((x - 0.08, y - 0.35), 0.16, 0.7, facecolor="0.3"))
        kind = "levels" if task == MALIGNANCY else f"classes ({config.data.label_set})"
        text = f"{task}: {len(names)} {kind}\n{textwrap.fill(', '.join(names), 30)}"
        axes.text(x + 0.25, y, text, ha="left", va="center", fontsize=8)
        if y == max(heads.values()):
            text = f"dropout {config.model.dropout:g},\nlinear"
            axes.text(x, y + 0.68, text, ha="center", va="bottom", fontsize=8)
    axes.set_title(_title(config, tuple(classes)), fontsize=10, loc="left", fontweight="bold")
    axes.set(xlim=(-0.7, PITCH * (len(STAGES) + 1) + 3.1), ylim=(-2.5, 2.7))
    axes.set_aspect("equal")
    axes.axis("off")


def _draw_tower(axes: Axes, y: float, shapes: Mapping[str, Shape], face: str) -> None:
    """The stages in a row; what they are called stands on the side away from the other tower."""
    above = y > 0
    for k, (stage, shape) in enumerate(shapes.items()):
        x = PITCH * (k + 1)
        _draw_block(axes, (x, y), shape, face)
        lines = [stage, " x ".join(map(str, shape))]
        text = "\n".join([OPERATIONS[stage], *lines] if y >= 0 else lines)
        side = "bottom" if above else "top"
        axes.text(x, y + (0.68 if above else -0.68), text, ha="center", va=side, fontsize=8)
        if stage != STAGES[-1]:
            _arrow(axes, (x + AFTER, y), (x + PITCH - BEFORE, y), OWN)


def _draw_block(axes: Axes, middle: tuple[float, float], shape: Shape, face: str) -> None:
    """A box in oblique projection around ``middle``: feature maps, or a layer of one column."""
    depth = 0.035 * math.log2(1 + shape[0]) if len(shape) > 1 else 0.06
    high = shape[1] / CROP_SIZE if len(shape) > 1 else min(1.0, 0.1 * math.log2(1 + shape[0]))
    wide = shape[2] / CROP_SIZE if len(shape) > 1 else 0.12
    left, low = middle[0] - (wide + depth) / 2, middle[1] - (high + depth) / 2
    right, top = left + wide, low + high
    sides = (
        [(left, low), (right, low), (right, top), (left, top)],
        [(left, top), (right, top), (right + depth, top + depth), (left + depth, top + depth)],
        [(right, low), (right + depth, low + depth), (right + depth, top + depth), (right, top)],
    )
    for side in sides:
        look: Any = {"facecolor": face, "edgecolor": "0.25", "linewidth": 0.8}
        axes.add_patch(Polygon(side, closed=True, **look))


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    look = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)


def _title(config: Config, tasks: tuple[str, ...]) -> str:
    sites = sites_of(config)
    if not sites:
        return f"{config.name}: two towers that share nothing"
    if TRUNK in sites:
        whose = "both tasks" if len(tasks) > 1 else f"{tasks[0]} alone"
        return f"{config.name}: one trunk for {whose}"
    after = ", ".join(stage for stage in STAGES if stage in sites)
    floor = config.sharing.cross_floor
    least = f"each takes at least {floor:g} from the other" if floor else "free weights"
    return f"{config.name}: two towers that share after {after}; {least}"
