"""The nodules that a model answered worst, for its model card."""

from __future__ import annotations

import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.canvas import PHANTOM_DATA
from lungdx_paddle.manifest import CROP_SIZE, ManifestRow
from lungdx_paddle.manifest_cells import STRETCHED
from lungdx_paddle.preprocess.crop import CONTEXT, CONTEXT_MM

COLUMNS = 4

BAR_MM = 10.0
"""Of the scale bar: a third of a crop's side by the rule ``context``."""

WIDTH = 32
"""Letters of a caption's line."""


def draw_mistakes(worst: Predictions, task: str, named: bool) -> Figure:
    """Draw the middle slice of each nodule, with ratings, label and answer above it.

    Args:
        worst: a row a nodule, with images
            (:func:`lungdx_paddle.evaluation.mistakes.worst_mistakes`).
        task: whose label and answer are shown.
        named: write the patients' IDs, which a public collection's are.

    Raises:
        ValueError: the predictions have no images, or no rows.
    """
    if worst.images is None or not len(worst):
        raise ValueError("mistakes without images")
    captions = [_caption(worst, task, i, named) for i in range(len(worst))]
    rows, lines = -(-len(worst) // COLUMNS), max(text.count("\n") + 1 for text in captions)
    size = 2.6 * COLUMNS + 0.9, (2.7 + 0.17 * lines) * rows + 0.6
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in places.ravel()[len(worst) :]:
        axes.axis("off")
    for i, (axes, row) in enumerate(zip(places.ravel(), worst.rows)):
        low, high = _gray_ends(row)
        values = low + worst.images[i] * ((high - low) / 255.0)
        shades = axes.imshow(values, cmap="gray", vmin=low, vmax=high)
        axes.set(xticks=[], yticks=[])
        axes.set_title(captions[i], fontsize=9, loc="left")
        _draw_scale(axes, row)
    bar = figure.colorbar(shades, ax=places, shrink=0.6, pad=0.01)
    stretched = worst.rows[0].gray == STRETCHED
    bar.set_label("gray value, each picture stretched" if stretched else "HU", fontsize=9)
    source = f" of {PHANTOM_DATA}" if worst.source == "phantom" else ""
    title = f"The worst answers about {task}{source}, held out: middle slice of each nodule"
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=10)
    return figure


def _draw_scale(axes: Axes, row: ManifestRow) -> None:
    """A bar of BAR_MM, bright with a dark edge, so that it is seen on lung and on bone."""
    pixel_mm = CONTEXT_MM / CROP_SIZE if row.crop == CONTEXT else row.pixel_spacing_mm / row.scale
    end, edge = CROP_SIZE - 2.5, [withStroke(linewidth=5, foreground="black")]
    look: Any = {"color": "yellow", "path_effects": edge}
    axes.plot([end - BAR_MM / pixel_mm, end], [CROP_SIZE - 2.0] * 2, linewidth=3, **look)
    words = f"{BAR_MM:g} mm"
    axes.text(end, CROP_SIZE - 3.0, words, fontsize=9, ha="right", va="bottom", **look)


def _gray_ends(row: ManifestRow) -> tuple[float, float]:
    """What black and white are: HU, or gray values where these are none."""
    if row.gray == STRETCHED:
        return 0.0, 255.0
    center, width = row.window
    return center - width / 2, center + width / 2


def _caption(worst: Predictions, task: str, index: int, named: bool) -> str:
    names = worst.label_set.task_classes[task]
    prefix = "level " if task == MALIGNANCY else ""
    row, p = worst.rows[index], worst.probabilities[task][index]
    label, answer = (int(of[task][index]) for of in (worst.labels, worst.classes))
    ratings = " ".join(map(str, row.malignancy_ratings)) or "none"
    lines = [
        f"{index + 1}. {row.patient_id}" if named else f"{index + 1}.",
        f"nodule {row.nodule}, ratings {ratings}" if named else f"ratings {ratings}",
        f"label: {prefix}{names[label]} ({p[label]:.2f})",
        f"answer: {prefix}{names[answer]} ({p[answer]:.2f})",
    ]
    return "\n" + "\n".join(part for line in lines for part in textwrap.wrap(line, WIDTH))
