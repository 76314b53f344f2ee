"""Crops with the saliency of each task below them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE

LEAST_COLUMNS = 3
"""Of the picture, so that its title has room above a single crop."""


def draw_saliency(
    images: np.ndarray,
    maps: Mapping[str, np.ndarray],
    captions: Mapping[str, Sequence[str]],
    title: str,
) -> Figure:
    """A column for each crop: the crop, then a map for each task; red speaks for the class.

    A task's maps have one scale, from minus to plus their largest value, so that an answer
    which hardly needs the crop is pale beside one that does.

    Args:
        images: (n, 32, 32) gray values from 0 to 255; at least one.
        maps: {task: (n, 32, 32)} of :func:`saliency`.
        captions: {task: (n,) what stands above its map}, and under ``image`` above the crop.
        title: of the whole.
    """
    columns, rows = max(len(images), LEAST_COLUMNS), 1 + len(maps)
    size = (1.75 * columns + 0.9, 2.05 * rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    for axes, image, caption in zip(places[0], images, captions["image"]):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(caption, fontsize=8)
    for row, (task, values) in zip(places[1:], maps.items()):
        largest = float(np.abs(values).max()) or 1.0
        look: Any = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
        for axes, image, value, caption in zip(row, images, values, captions[task]):
            shades = axes.imshow(value, **look)
            if image.min() < image.max() / 2:
                axes.contour(image, [image.max() / 2], colors="gray", linewidths=0.6)
            axes.set_title(caption, fontsize=8)
        bar = figure.colorbar(shades, ax=row, shrink=0.8, pad=0.01)
        bar.set_label("log-probability", fontsize=8)
        bar.ax.tick_params(labelsize=8)
    for axes in places.ravel():
        axes.set(xticks=[], yticks=[])
    for axes in places[:, len(images) :].ravel():
        axes.axis("off")
    for axes, name in zip(places[:, 0], ("crop", *maps)):
        axes.set_ylabel(name, fontsize=9)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=9)
    return figure
