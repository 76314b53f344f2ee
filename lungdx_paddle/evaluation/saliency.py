"""Which pixels speak for a class: integrated gradients of both tasks, and their picture.

Integrated gradients (Sundararajan, Taly, Yan 2017, arXiv 1703.01365) ask what each pixel adds
on the way from a black image to the crop.  Chosen over the plain gradient and SmoothGrad
because a crop lies on black: the gradient is largest at the border, where hardly any training
image has a value and the network's normalisation divides by next to nothing, while here a
black pixel gets nothing.  And the parts have a sum that can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle.nn import functional

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.evaluation.evaluate import BATCH

if TYPE_CHECKING:  # matplotlib takes long to import, and a training draws nothing
    from matplotlib.figure import Figure

STEPS = 256
"""Points of the path.  For a network of the default size on real crops the maps' sums are then
right to within 0.02 (median) and 0.1 (worst)."""

LEAST_COLUMNS = 3
"""Of the picture, so that its title has room above a single crop."""


def saliency(
    network: paddle.nn.Layer,
    images: np.ndarray,
    classes: Mapping[str, np.ndarray] | None = None,
    steps: int = STEPS,
) -> dict[str, np.ndarray]:
    """What each pixel adds to the log-probability of a class, over that of a black image.

    Integrated gradients along the straight line from black, by the midpoint rule.  A map's
    sum is ``log p(class | image) - log p(class | black)``, but for the rule's error.  The
    log-probability is taken and not the logit, since logits mean nothing one by one: the
    same number added to all of them changes no answer.

    Args:
        network: (n, 1, 32, 32) float32 gray values -> {task: (n, classes) logits}.  It runs
            in inference mode and is left as it was.
        images: (n, 32, 32) gray values from 0 to 255; at least one.
        classes: {task: (n,) classes to explain}; None: what the network itself answers.
        steps: points of the path, from 1.

    Returns:
        {task: (n, 32, 32) float64}, in natural logarithms: above 0 speaks for the class, below
        0 against it.
    """
    was_training = network.training
    network.eval()
    chosen = predicted_classes(network, images) if classes is None else classes
    sums = {task: np.zeros(images.shape) for task in chosen}
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        x = images[part].astype(np.float32)[:, np.newaxis]
        own = {task: paddle.to_tensor(values[part]) for task, values in chosen.items()}
        for step in range(steps):
            for task, gradient in _gradients(network, x * ((step + 0.5) / steps), own).items():
                sums[task][part] += gradient[:, 0]
    if was_training:
        network.train()
    return {task: images * total / steps for task, total in sums.items()}


def predicted_classes(network: paddle.nn.Layer, images: np.ndarray) -> dict[str, np.ndarray]:
    """{task: (n,) int64 most probable class} of (n, 32, 32) gray values, as the mode is."""
    x = paddle.to_tensor(images.astype(np.float32)[:, np.newaxis])
    with paddle.no_grad():
        return {task: logits.numpy().argmax(axis=1) for task, logits in network(x).items()}


def _gradients(
    network: paddle.nn.Layer, x: np.ndarray, classes: Mapping[str, paddle.Tensor]
) -> dict[str, np.ndarray]:
    """{task: (n, 1, 32, 32) gradient by x of the log-probability of each image's class}."""
    point = paddle.to_tensor(x, stop_gradient=False)
    gradients = {}
    for task, logits in network(point).items():
        # Images do not meet in inference mode, so the sum's gradient is each image's own.
        loss = functional.cross_entropy(logits, classes[task], reduction="sum")
        gradients[task] = -paddle.grad(loss, point, retain_graph=True)[0].numpy()
    return gradients


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
    from matplotlib.figure import Figure

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
