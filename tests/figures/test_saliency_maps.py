"""A saliency picture has a column a crop, with what is known of it above each map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.data.labels import PATHOLOGY
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.saliency_maps import draw_saliency


def maps(predictions: Predictions) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {task: random.normal(size=(len(predictions), 32, 32)) for task in predictions.labels}


@pytest.mark.parametrize("count", [1, 5])
def test_the_picture_has_a_column_a_crop(
    predictions: Predictions, count: int, shown: Callable[..., np.ndarray]
) -> None:
    part = predictions.select(np.arange(0, 8 * count, 8))
    part.images[-1] = 0  # nothing to outline
    figure = draw_saliency(part, maps(part), "made up")
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[:count] == part.patients and len(titles) == 3 * count
    assert figure.get_suptitle() == "made up (PHANTOM data); research use, not a medical device"
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


@pytest.mark.parametrize("diagnosed", [True, False])
def test_prediction_label_and_gain_stand_above_each_map(
    predictions: Predictions, diagnosed: bool
) -> None:
    part = predictions.select(np.flatnonzero((predictions.labels[PATHOLOGY] >= 0) == diagnosed)[:4])
    found = maps(part)
    titles = [axes.get_title() for axes in draw_saliency(part, found, "made up").axes]
    captions = [title.replace("\n", " ") for title in titles if "predicted" in title]
    for i in range(4):
        level, p = part.classes["malignancy"][i] + 1, part.probabilities["malignancy"][i].max()
        assert captions[i].startswith(f"predicted: level {level} ({p:.2f}) label: level")
        gain = f"{found['malignancy'][i].sum():+.1f}"
        assert captions[i].endswith(f"log-probability gained over a black image: {gain}")
    assert all(("no label" in caption) != diagnosed for caption in captions[4:])


def test_predictions_without_crops_are_refused(predictions: Predictions) -> None:
    with pytest.raises(ValueError, match="without images"):
        draw_saliency(replace(predictions, images=None), maps(predictions), "made up")
