"""What a network looks at: crops with the saliency of each task below them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import MALIGNANCY, UNLABELLED
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.canvas import PHANTOM_DATA

LEAST_COLUMNS = 3
"""Of the picture, so that its title has room above a single crop."""


def draw_saliency(predictions: Predictions, maps: Mapping[str, np.ndarray], title: str) -> Figure:
    """Draw a column for each crop: the crop, then a map for each task; red is for the class.

    Above a map stand the prediction that it explains, its probability, the label, and the map's
    sum: how much more probable the prediction is than on a black image (natural logarithm).  A
    task's maps have one scale, from minus to plus their largest value, so that a prediction
    which hardly needs the crop is pale beside one that does.

    Args:
        predictions: of one crop or more, with images.
        maps: {task: (n, 32, 32)} of :func:`lungdx_paddle.evaluation.saliency.saliency`.
        title: which network and which crops.

    Raises:
        ValueError: the predictions have no images.
    """
    images = predictions.images
    if images is None:
        raise ValueError("predictions without images")
    columns, rows = max(len(images), LEAST_COLUMNS), 1 + len(maps)
    figure = Figure(figsize=(1.75 * columns + 0.9, 2.05 * rows + 0.6), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    for axes, image, patient in zip(places[0], images, predictions.patients):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(patient, fontsize=8)
    for row, (task, values) in zip(places[1:], maps.items()):
        largest = float(np.abs(values).max()) or 1.0
        look: Any = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        for i, (axes, image, value) in enumerate(zip(row, images, values)):
            shades = axes.imshow(value, **look)
            if image.min() < image.max() / 2:
                axes.contour(image, [image.max() / 2], colors="gray", linewidths=0.6)
            axes.set_title(_caption(predictions, task, i, float(value.sum())), fontsize=8)
        bar = figure.colorbar(shades, ax=row, shrink=0.8, pad=0.01)
        bar.set_label("log-probability", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    for axes in places.ravel():
        axes.set(xticks=[], yticks=[])
    for axes in places[:, len(images) :].ravel():
        axes.axis("off")
    for axes, name in zip(places[:, 0], ("crop", *maps)):
        axes.set_ylabel(name, fontsize=9)
    source = f" ({PHANTOM_DATA})" if predictions.source == "phantom" else ""
    figure.suptitle(f"{title}{source}; {RESEARCH_USE}", fontsize=9)
    return figure


def _caption(predictions: Predictions, task: str, index: int, gain: float) -> str:
    prefix = "level " if task == MALIGNANCY else ""
    names = [f"{prefix}{name}" for name in predictions.label_set.task_classes[task]]
    probabilities, label = predictions.probabilities[task][index], predictions.labels[task][index]
    best = int(probabilities.argmax())
    lines = (
        f"predicted: {names[best]} ({probabilities[best]:.2f})",
        f"label: {names[label]}" if label != UNLABELLED else "no label",
        f"log-probability gained over a black image: {round(gain, 1) + 0.0:+.1f}",
    )
    return "\n".join(part for line in lines for part in textwrap.wrap(line, 26))
