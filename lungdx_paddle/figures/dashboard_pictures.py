"""The pictures that a training's dashboard shows at a row."""

from __future__ import annotations

import numpy as np

from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.canvas import pixels
from lungdx_paddle.figures.crop_mosaic import draw_crops
from lungdx_paddle.figures.score_plots import draw_confusion


def dashboard_pictures(predictions: Predictions, step: int) -> dict[str, np.ndarray]:
    """{tag: (rows, columns, 3) uint8 RGB} of the test part after a step.

    Tags are ``crops/test`` and ``confusion/{task}``.  What is not defined is left out: crops
    without images, the confusion of a task without labels, everything where a probability is
    not a number.
    """
    if not all(np.isfinite(p).all() for p in predictions.probabilities.values()):
        return {}
    pictures = {}
    if predictions.images is not None:
        pictures["crops/test"] = draw_crops(predictions)
    for task, labels in predictions.labels.items():
        if (labels >= 0).any():
            figure = draw_confusion(predictions, task, f"test part, step {step}")
            pictures[f"confusion/{task}"] = pixels(figure)
    return pictures
