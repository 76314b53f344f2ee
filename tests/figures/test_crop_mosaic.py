"""The mosaic of crops shows right in green and wrong in red."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.figures.crop_mosaic import CROPS, chosen, draw_crops


def predicted(dataset: NoduleDataset, classes: dict[str, np.ndarray]) -> Predictions:
    counts = {task: len(names) for task, names in dataset.label_set.task_classes.items()}
    sure = {task: np.eye(counts[task])[classes[task]] for task in classes}
    rows = tuple(dataset.manifest.rows)
    return Predictions(rows, dataset.labels, sure, dataset.label_set, dataset.images)


def reddish(picture: np.ndarray) -> bool:
    red, green = picture[..., 0].astype(int), picture[..., 1].astype(int)
    return bool((red - green > 80).any())


def greenish(picture: np.ndarray) -> bool:
    red, green = picture[..., 0].astype(int), picture[..., 1].astype(int)
    return bool((green - red > 80).any())


def test_right_is_green_and_wrong_is_red(dataset: NoduleDataset) -> None:
    part = dataset.subset(np.flatnonzero(dataset.labels["pathology"] >= 0))
    right = draw_crops(predicted(part, part.labels))
    assert greenish(right) and not reddish(right)
    wrong = draw_crops(predicted(part, {task: (k + 1) % 5 for task, k in part.labels.items()}))
    assert reddish(wrong) and not greenish(wrong)


def test_a_crop_without_a_label_is_neither(dataset: NoduleDataset) -> None:
    part = dataset.subset([0])
    part.labels = {task: np.array([-1]) for task in part.labels}
    picture = draw_crops(predicted(part, {task: np.array([0]) for task in part.labels}))
    assert not reddish(picture) and not greenish(picture)


def test_so_many_crops_are_shown_those_with_all_labels_first(dataset: NoduleDataset) -> None:
    predictions = predicted(dataset, {t: np.maximum(k, 0) for t, k in dataset.labels.items()})
    indices = chosen(predictions)
    assert len(set(indices.tolist())) == CROPS
    assert (dataset.labels["pathology"][indices] >= 0).all()
    few = dataset.subset(range(5))
    every = chosen(predicted(few, {t: np.maximum(k, 0) for t, k in few.labels.items()}))
    assert every.tolist() == [0, 1, 2, 3, 4]


def test_the_crops_pixels_stand_in_the_picture(dataset: NoduleDataset) -> None:
    part = dataset.subset([7])
    picture = draw_crops(predicted(part, {task: np.array([0]) for task in part.labels}))
    np.testing.assert_array_equal(picture[8:136:4, 8:136:4, 0], part.images[0])


def test_predictions_without_crops_are_refused(dataset: NoduleDataset) -> None:
    part = dataset.subset([7])
    made = predicted(part, {task: np.array([0]) for task in part.labels})
    with pytest.raises(ValueError, match="without images"):
        draw_crops(replace(made, images=None))
