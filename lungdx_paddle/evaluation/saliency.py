"""Saliency: what each pixel adds to a class's probability, by integrated gradients.

Integrated gradients (Sundararajan, Taly, Yan 2017, arXiv 1703.01365) ask what each pixel adds
on the way from a black image to the crop.  Chosen over the plain gradient and SmoothGrad
because a crop lies on black: the gradient is largest at the border, where hardly any training
image has a value and the network's normalisation divides by next to nothing, while here a
black pixel gets nothing.  And a map has a sum that can be checked.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import paddle
from paddle.nn import functional

from lungdx_paddle.evaluation.predictions import BATCH, inference_mode

STEPS = 256
"""Points of the path.  For a network of the default size on real crops the maps' sums are then
right to within 0.02 (median) and 0.1 (worst)."""


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
    same number added to all of them changes no prediction.

    Args:
        network: (n, 1, 32, 32) float32 gray values -> {task: (n, classes) logits}.  It runs
            in inference mode and is left as it was.
        images: (n, 32, 32) gray values from 0 to 255; at least one.
        classes: {task: (n,) classes to explain}; None: the predicted ones.
        steps: points of the path, from 1.

    Returns:
        {task: (n, 32, 32) float64}, in natural logarithms; above 0 for the class, below against.
    """
    with inference_mode(network):
        if classes is None:
            with paddle.no_grad():
                logits = network(paddle.to_tensor(images.astype(np.float32)[:, np.newaxis]))
            classes = {task: values.numpy().argmax(axis=1) for task, values in logits.items()}
        sums = {task: np.zeros(images.shape) for task in classes}
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            x = images[part].astype(np.float32)[:, np.newaxis]
            own = {task: paddle.to_tensor(values[part]) for task, values in classes.items()}
            for step in range(steps):
                point = paddle.to_tensor(x * ((step + 0.5) / steps), stop_gradient=False)
                for task, logits in network(point).items():
                    # Images do not meet in inference mode: the sum's gradient is each one's own.
                    loss = functional.cross_entropy(logits, own[task], reduction="sum")
                    gradient = paddle.grad(loss, point, retain_graph=True)[0].numpy()
                    sums[task][part] -= gradient[:, 0]
    return {task: images * total / steps for task, total in sums.items()}
