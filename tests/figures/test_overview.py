"""The overview leads from a slice to probabilities and says what it is made of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lungdx_paddle.figures.overview import draw_overview
from lungdx_paddle.lidc.scan import Scan


def test_slice_lung_outlines_crop_and_probabilities_stand_in_a_row(
    scan: Scan, shown: Callable[..., np.ndarray]
) -> None:
    nodule = max(scan.nodules, key=lambda nodule: len(nodule.readings))
    sop_uid = nodule.sop_uids[0]
    lung, crop = np.ones(scan.series.shape_zyx[1:], dtype=bool), np.zeros((32, 32), np.uint8)
    found = {"malignancy": {"1": 0.3, "2": 0.7}, "pathology": {"benign": 0.9, "malignant": 0.1}}
    figure = draw_overview(scan.series, nodule, sop_uid, (lung, crop), found, "a model")
    pictures, bars = figure.axes[:4], figure.axes[4:]
    assert all(axes.get_images() for axes in pictures)
    assert [axes.get_title() for axes in bars] == ["malignancy", "pathology"]
    assert [bar.get_width() for bar in bars[0].patches] == [0.3, 0.7]
    assert [text.get_text() for text in bars[0].get_yticklabels()] == ["level 1", "level 2"]
    assert figure.get_supxlabel() == (
        "PHANTOM data; model: a model; research use, not a medical device"
    )
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50
