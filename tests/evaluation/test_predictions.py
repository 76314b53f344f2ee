"""Predictions survive their table, are pooled by nodule, and leave the network as it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.predictions import (
    Predictions,
    predict,
    read_predictions,
    write_predictions,
)
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.manifest import ManifestRow, read_manifest
from lungdx_paddle.models.network import TwoTaskNetwork, build_network


@pytest.fixture
def dataset(write_crops: Callable[..., Path]) -> NoduleDataset:
    return NoduleDataset(read_manifest(write_crops()), LABEL_SETS["paper6"])


@pytest.fixture
def network(configs: Path) -> TwoTaskNetwork:
    return build_network(load_config(configs / "testing.yaml"))


def test_predicting_leaves_the_network_as_it_was(
    dataset: NoduleDataset, network: TwoTaskNetwork
) -> None:
    network.train()
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    first, second = predict(network, dataset), predict(network, dataset)
    assert network.training
    for name, value in network.state_dict().items():
        assert np.array_equal(before[name], value.numpy()), name
    for task, probabilities in first.probabilities.items():
        assert len(probabilities) == 80
        assert np.array_equal(probabilities, second.probabilities[task])


def test_the_table_holds_all_that_a_score_needs(
    dataset: NoduleDataset, network: TwoTaskNetwork, tmp_path: Path
) -> None:
    made = predict(network, dataset)
    write_predictions(tmp_path / "predictions.csv", made)
    read = read_predictions(tmp_path / "predictions.csv")
    assert list(read.rows) == list(dataset.manifest.rows)
    for task, p in made.probabilities.items():
        np.testing.assert_array_equal(read.probabilities[task], p)
        np.testing.assert_array_equal(read.labels[task], dataset.labels[task])
    again = read.select(np.arange(len(read)))
    write_predictions(tmp_path / "again.csv", again)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "predictions.csv").read_bytes()
    assert evaluate(read) == evaluate(replace(made, images=None))


def test_a_table_of_other_classes_replaces_the_columns_of_the_first(
    perfect: Callable[..., Predictions], crop_rows: list[ManifestRow], tmp_path: Path
) -> None:
    stale = [replace(row, extra={"note": "kept", "pathology_p5": "1"}) for row in crop_rows]
    made = perfect(stale)
    binary = replace(
        made,
        label_set=LABEL_SETS["binary"],
        labels={**made.labels, "pathology": made.labels["pathology"].clip(max=1)},
        probabilities={**made.probabilities, "pathology": np.full((80, 2), 0.5)},
    )
    write_predictions(tmp_path / "p.csv", binary)
    read = read_predictions(tmp_path / "p.csv")
    assert read.probabilities["pathology"].shape == (80, 2)
    assert read.rows[0].extra == {"note": "kept"}


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, "No such file"), ("a,b\n1,2\n", "no image"), ("", "no image")],
)
def test_what_is_no_table_of_predictions_is_one_clear_error(
    tmp_path: Path, content: str | None, found: str
) -> None:
    path = tmp_path / "predictions.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=f"expected a table of predictions.*{found}"):
        read_predictions(path)


def test_a_plain_manifest_is_no_table_of_predictions(write_crops: Callable[..., Path]) -> None:
    with pytest.raises(CheckpointError, match="no column 'label_set'"):
        read_predictions(write_crops())


def test_pooling_takes_the_mean_and_the_highest_label(
    perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]
) -> None:
    made = perfect(crop_rows)
    made.labels["pathology"][:] = -1
    made.labels["pathology"][7] = 4
    p = np.random.default_rng(0).dirichlet(np.ones(5), 80)
    made = replace(made, probabilities={**made.probabilities, "malignancy": p})
    nodules, patients = made.pooled("nodule"), made.pooled("patient")
    assert (len(made.pooled("image")), len(nodules), len(patients)) == (80, 16, 8)
    weights = slice_weights([row.z_mm for row in crop_rows[5:10]])
    np.testing.assert_allclose(nodules.probabilities["malignancy"][1], weights @ p[5:10])
    np.testing.assert_allclose(patients.probabilities["malignancy"][0], p[:10].mean(axis=0))
    assert nodules.labels["pathology"].tolist() == [-1, 4] + 14 * [-1]
    assert patients.labels["pathology"][0] == 4
    assert [row.patient_id for row in patients.rows] == [f"P{k:02d}" for k in range(8)]


def test_the_middle_slices_of_a_nodule_count_most() -> None:
    assert slice_weights([3.0]).tolist() == [1.0]
    assert slice_weights([5.0, 2.5]).tolist() == [0.5, 0.5]
    # 5/36, 9/36 and 5/36 of x (1 - x), whatever the order
    assert slice_weights([2.0, 0.0, 1.0]) == pytest.approx([5 / 19, 5 / 19, 9 / 19])
    assert slice_weights([2.0, None, 1.0]).tolist() == [1 / 3] * 3


def test_the_expected_level_weighs_the_levels(
    perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]
) -> None:
    made = perfect(crop_rows[:1])
    split = {**made.probabilities, "malignancy": np.array([[0.5, 0, 0, 0, 0.5]])}
    assert replace(made, probabilities=split).expected_levels == pytest.approx([3.0])


def test_predictions_show_what_they_are_of(golden: tuple[Predictions, object]) -> None:
    assert repr(golden[0]) == "Predictions(194 crops of 40 patients, paper6)"
