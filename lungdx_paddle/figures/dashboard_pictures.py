"""Pictures of the test part for the dashboard."""

from __future__ import annotations

import numpy as np

from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.crop_mosaic import draw_crops
from lungdx_paddle.figures.score_plots import draw_confusion, pixels


def dashboard_pictures(predictions: Predictions, step: int) -> dict[str, np.ndarray]:
    """{tag: RGB picture}."""
    if not all(np.isfinite(p).all() for p in predictions.probabilities.values()):
        return {}
    found = {"crops/test": draw_crops(predictions)}
    for task, labels in predictions.labels.items():
        if (labels >= 0).any():
            figure = draw_confusion(predictions, task, f"test part, step {step}")
            found[f"confusion/{task}"] = pixels(figure)
    return found
