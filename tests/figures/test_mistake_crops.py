"""The worst mistakes are drawn in HU with a scale, named only where they may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Text

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.mistakes import worst_mistakes
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.mistake_crops import draw_mistakes


def texts(figure: Any) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def test_a_crop_stands_with_its_label_answer_scale_and_unit(
    predictions: Predictions, shown: Callable[..., np.ndarray]
) -> None:
    worst = worst_mistakes(predictions, MALIGNANCY)
    figure = draw_mistakes(worst, MALIGNANCY, named=True)
    assert shown(figure).min() == 0
    words = texts(figure)
    label, answer = worst.labels[MALIGNANCY][0] + 1, worst.classes[MALIGNANCY][0] + 1
    assert f"label: level {label} (" in words and f"answer: level {answer} (" in words
    assert "HU" in words.split("\n") and "10 mm" in words and "PHANTOM data" in words
    assert "not a medical device" in words
    first, *_ = figure.axes
    assert first.images[0].get_clim() == (-1000.0, 1040.0)
    (bar,) = first.lines
    length = np.ptp(bar.get_xdata())
    assert length * 0.7 == pytest.approx(10.0)  # the crops' pixels are of 0.7 mm


def test_patients_are_not_named_where_they_may_not_be(predictions: Predictions) -> None:
    worst = worst_mistakes(predictions, MALIGNANCY)
    words = texts(draw_mistakes(worst, MALIGNANCY, named=False))
    assert not [row.patient_id for row in worst.rows if row.patient_id in words]


def test_without_images_there_is_nothing_to_draw(predictions: Predictions) -> None:
    worst = worst_mistakes(replace(predictions, images=None), MALIGNANCY)
    with pytest.raises(ValueError, match="mistakes without images"):
        draw_mistakes(worst, MALIGNANCY, named=True)
