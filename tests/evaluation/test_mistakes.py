"""The worst mistakes are the ones furthest off, a patient once, shown by the middle slice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.mistakes import worst_mistakes
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.manifest import ManifestRow

Perfect = Callable[..., Predictions]


def answered(
    predictions: Predictions, task: str, nodules: dict[tuple[str, int], list[float]]
) -> Predictions:
    """The predictions with other probabilities of some nodules."""
    p = predictions.probabilities[task].copy()
    for i, row in enumerate(predictions.rows):
        if row.nodule_key in nodules:
            p[i] = nodules[row.nodule_key]
    return replace(predictions, probabilities={**predictions.probabilities, task: p})


def test_the_worst_are_furthest_off_then_least_likely_and_a_patient_is_there_once(
    perfect: Perfect, crop_rows: list[ManifestRow]
) -> None:
    predictions = answered(
        perfect(crop_rows),  # the label of nodule n of patient p is level 1 + (p + n) % 5
        MALIGNANCY,
        {
            ("P00", 0): [0.4, 0.6, 0, 0, 0],
            ("P01", 0): [0, 0.3, 0.7, 0, 0],
            ("P02", 0): [0, 0, 0.1, 0.9, 0],
            ("P02", 1): [0, 0, 0, 0.2, 0.8],
            ("P04", 0): [0.5, 0, 0, 0, 0.5 - 1e-6],
        },
    )
    worst = worst_mistakes(predictions, MALIGNANCY)
    assert [row.nodule_key for row in worst.rows] == [
        ("P04", 0),
        ("P02", 0),
        ("P01", 0),
        ("P00", 0),
    ]
    assert worst.labels[MALIGNANCY].tolist() == [4, 2, 1, 0]
    assert worst.classes[MALIGNANCY].tolist() == [0, 3, 2, 1]
    assert len(worst_mistakes(predictions, MALIGNANCY, most=2)) == 2
    assert len(worst_mistakes(perfect(crop_rows), MALIGNANCY)) == 0


def test_a_nodule_is_shown_by_its_middle_slice(
    perfect: Perfect, crop_rows: list[ManifestRow]
) -> None:
    predictions = answered(perfect(crop_rows), MALIGNANCY, {("P03", 1): [1, 0, 0, 0, 0]})
    images = np.arange(len(crop_rows), dtype=np.uint8)[:, np.newaxis, np.newaxis]
    worst = worst_mistakes(replace(predictions, images=images), MALIGNANCY)
    assert worst.rows[0].image.endswith("P03/n01_s02.jpg")
    assert worst.images is not None and crop_rows[worst.images[0, 0, 0]] == worst.rows[0]


def test_of_a_diagnosis_the_surest_mistake_is_the_worst(
    perfect: Perfect, crop_rows: list[ManifestRow]
) -> None:
    sure, unsure = [0.1, 0, 0, 0.9, 0, 0], [0.4, 0, 0, 0.6, 0, 0]
    wrong = {("P00", 0): unsure, ("P00", 1): sure, ("P01", 0): sure}
    worst = worst_mistakes(answered(perfect(crop_rows), PATHOLOGY, wrong), PATHOLOGY)
    assert [row.nodule_key for row in worst.rows] == [("P00", 1)]  # P01 has no diagnosis
