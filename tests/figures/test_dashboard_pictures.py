"""The dashboard's pictures are those that the predictions define."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.dashboard_pictures import dashboard_pictures


def test_crops_and_confusions_are_rgb_images(predictions: Predictions) -> None:
    pictures = dashboard_pictures(predictions, 5)
    assert list(pictures) == ["crops/test", "confusion/malignancy", "confusion/pathology"]
    for picture in pictures.values():
        assert picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        assert min(picture.shape[:2]) > 200 and np.ptp(picture) > 200


def test_what_is_not_defined_is_left_out(predictions: Predictions) -> None:
    unlabelled = {**predictions.labels, "pathology": np.full(len(predictions), -1)}
    without = replace(predictions, images=None, labels=unlabelled)
    assert list(dashboard_pictures(without, 5)) == ["confusion/malignancy"]
    predictions.probabilities["pathology"][0] = np.nan
    assert dashboard_pictures(predictions, 5) == {}
