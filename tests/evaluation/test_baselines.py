"""Baselines know the training part alone, and what they are told to see of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.data.splits import make_fold
from lungdx_paddle.evaluation.baselines import BASELINES, baseline_predictions
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest


def predictions_of(crops: NoduleDataset) -> Predictions:
    """What no network would answer: the baselines must not look at it."""
    sizes = {task: len(names) for task, names in crops.label_set.task_classes.items()}
    even = {task: np.full((len(crops), n), 1 / n) for task, n in sizes.items()}
    rows = tuple(crops.manifest.rows)
    return Predictions(rows, crops.labels, even, crops.label_set, crops.images)


@pytest.fixture
def crops(crop_rows: list[ManifestRow]) -> NoduleDataset:
    """80 crops of 8 patients: the gray value follows the rating, the size does not."""
    images = np.zeros((len(crop_rows), 32, 32), np.uint8)
    for image, row in zip(images, crop_rows):
        image[8:24, 8:24] = 40 * row.malignancy_ratings[0]
    return NoduleDataset(Manifest(Path(), tuple(crop_rows)), LABEL_SETS["binary"], images)


EVERY, HALF = np.arange(80), np.arange(40)


def test_least_squares_finds_what_it_sees_and_no_more(crops: NoduleDataset) -> None:
    found = baseline_predictions(crops, predictions_of(crops), [(HALF, EVERY)])
    assert tuple(found) == BASELINES
    bright, outline = found["size_and_brightness"], found["silhouette"]
    assert isinstance(bright, Predictions) and isinstance(outline, Predictions)
    levels = [row.malignancy_ratings[0] for row in bright.rows]
    assert bright.expected_levels == pytest.approx(levels)
    assert (bright.classes["malignancy"] == crops.labels["malignancy"]).all()
    # All are of one size: without gray there is the mean rating alone.
    mean = np.mean([levels[i] for i in range(0, 40, 5)])
    assert outline.expected_levels == pytest.approx(np.full(80, mean))


def test_the_commonest_class_is_that_of_the_training_part(crops: NoduleDataset) -> None:
    labels = crops.labels["malignancy"]
    few = np.flatnonzero(labels == 3)[:5]
    trained = np.concatenate([few, np.flatnonzero(labels == 0)[:4]])
    found = baseline_predictions(crops, predictions_of(crops), [(trained, EVERY)])
    commonest = found["commonest_class"]
    assert isinstance(commonest, Predictions)
    assert set(commonest.classes["malignancy"].tolist()) == {3}
    assert (commonest.probabilities["malignancy"].max(axis=1) == 1).all()


def test_each_network_has_a_baseline_of_its_own_training_part(crops: NoduleDataset) -> None:
    labels = crops.labels["malignancy"]
    ones, fives = np.flatnonzero(labels == 0), np.flatnonzero(labels == 4)
    parts = [(ones, HALF), (fives, np.arange(20, 80))]
    found = baseline_predictions(crops, predictions_of(crops), parts)["commonest_class"]
    assert isinstance(found, Predictions)
    # Rows of both networks get the mean of both.
    assert found.expected_levels == pytest.approx([1.0] * 20 + [3.0] * 20 + [5.0] * 40)


def test_a_task_without_a_training_label_is_left_out(crops: NoduleDataset) -> None:
    undiagnosed = np.flatnonzero(crops.labels["pathology"] < 0)
    for found in baseline_predictions(
        crops, predictions_of(crops), [(undiagnosed, EVERY)]
    ).values():
        assert isinstance(found, str) or list(found.labels) == ["malignancy"]


def test_an_unknown_thickness_is_a_reason_and_a_known_one_a_baseline(crops: NoduleDataset) -> None:
    asked = predictions_of(crops)
    why = "the slice thickness is not known of every crop"
    assert baseline_predictions(crops, asked, [(HALF, EVERY)])["slice_thickness"] == why
    assert evaluate(asked, baselines={"slice_thickness": why}).baselines["slice_thickness"].why
    uids = list(known_series())
    rows = [replace(r, series_uid=uids[int(r.patient_id[1:])]) for r in crops.manifest.rows]
    known = NoduleDataset(Manifest(Path(), tuple(rows)), crops.label_set, crops.images)
    found = baseline_predictions(known, predictions_of(known), [(HALF, EVERY)])
    assert isinstance(found["slice_thickness"], Predictions)


def test_without_images_there_is_no_baseline(crops: NoduleDataset) -> None:
    bare = replace(predictions_of(crops), images=None)
    with pytest.raises(ValueError, match="need the crops of the predictions"):
        baseline_predictions(crops, bare, [(HALF, EVERY)])


@pytest.mark.lidc
def test_size_and_brightness_reach_what_was_measured(lidc32: Path) -> None:
    manifest = read_manifest(lidc32)
    three = [i for i, row in enumerate(manifest.rows) if row.readers >= 3]
    crops = NoduleDataset(manifest.select(three), LABEL_SETS["binary"])
    folds = [
        make_fold(crops.manifest, "patient", (k, 5), 0, crops.labels["pathology"]) for k in range(5)
    ]
    parts = [(fold.train, fold.test) for fold in folds]
    made = baseline_predictions(crops, predictions_of(crops), parts)["size_and_brightness"]
    assert isinstance(made, Predictions)
    found = evaluate(made).nodule["malignancy"]
    for estimate, measured in (
        (found.within_one, 0.966),
        (found.quadratic_kappa, 0.696),
        (found.auc, 0.976),
    ):
        assert estimate is not None and estimate.value == pytest.approx(measured, abs=0.004)
