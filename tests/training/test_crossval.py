"""A cross-validation: every patient is judged by a network that has not seen it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import load_dataset, split_of
from lungdx_paddle.errors import CheckpointError, ConfigError, ManifestError
from lungdx_paddle.evaluation.predictions import predict, read_predictions
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.models.ensemble import Ensemble
from lungdx_paddle.settings import Config
from lungdx_paddle.training.crossval import train
from lungdx_paddle.training.parallel.jobs import How
from lungdx_paddle.training.run import evaluate_run, load_run
from lungdx_paddle.training.step import learning_rate
from lungdx_paddle.workers import Workers

ONE_BY_ONE = How(Workers(1), "cpu", resume=False)


@pytest.fixture
def config(write_crops: Callable[..., Path], configs: Path, tmp_path: Path) -> Config:
    """Two folds of the tiny config."""
    settings = ["data.split=patient", "data.folds=2", "train.steps=3", "train.log_every=3"]
    own = [*settings, f"data.manifest={write_crops()}", f"output={tmp_path / 'run'}"]
    (tmp_path / "run").mkdir()
    return load_config(configs / "testing.yaml", own)


@pytest.fixture
def trained(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, dict[str, Any]]:
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    return config, train(config, ONE_BY_ONE, lambda line: None)


def test_the_folds_test_every_image_once_and_share_no_patient(config: Config) -> None:
    dataset = load_dataset(config.data)
    splits = [split_of(dataset, config.of_fold(k).data) for k in range(2)]
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(dataset)))
    for split in splits:
        assert split.leakage().patients == 0
        assert len(split.test) > 0


def test_each_image_is_judged_by_the_network_that_has_not_seen_it(
    trained: tuple[Config, dict[str, Any]],
) -> None:
    config, metrics = trained
    pooled = read_predictions(config.output_folder / "predictions.csv")
    place = {row.image: i for i, row in enumerate(pooled.rows)}
    for k in range(2):
        own = read_predictions(config.output_folder / f"fold{k}" / "predictions.csv")
        for i, row in enumerate(own.rows):
            for task, probabilities in own.probabilities.items():
                there = pooled.probabilities[task][place[row.image]]
                np.testing.assert_allclose(there, probabilities[i], rtol=1e-5)
    assert metrics["test"]["images"] == len(pooled)
    assert metrics["leakage"]["leaks"] is False
    assert metrics == json.loads((config.output_folder / "metrics.json").read_text())


def test_the_model_is_the_mean_of_its_networks(trained: tuple[Config, dict[str, Any]]) -> None:
    config, _ = trained
    _, network = load_run(config.output_folder, "latest")
    assert isinstance(network, Ensemble)
    dataset = load_dataset(config.data)
    parts = [predict(member, dataset).probabilities for member in network.members]
    for task, mean in predict(network, dataset).probabilities.items():
        expected = (parts[0][task] + parts[1][task]) / 2
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_judging_it_again_gives_the_scores_of_its_training(
    trained: tuple[Config, dict[str, Any]], tmp_path: Path
) -> None:
    config, metrics = trained
    lines = evaluate_run(config.output_folder, tmp_path / "eval")
    again = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert again["test"]["image"] == metrics["test"]["image"]
    assert "2 folds by patient" in lines[0]


def test_a_patient_of_no_fold_is_judged_by_all_networks_and_others_by_their_own(
    trained: tuple[Config, dict[str, Any]], tmp_path: Path
) -> None:
    config, _ = trained
    whole = read_manifest(config.data.manifest)
    stranger = [replace(row, patient_id="NEW") for row in whole.rows if row.patient_id == "P00"]
    renamed = [row for row in whole.rows if row.patient_id != "P00"] + stranger
    other = whole.folder / "other.csv"
    write_manifest(other, renamed)
    evaluate_run(config.output_folder, tmp_path / "eval", [f"data.manifest={other}"])
    found = read_predictions(tmp_path / "eval" / "predictions.csv")
    own = read_predictions(config.output_folder / "predictions.csv")
    _, network = load_run(config.output_folder, "latest")
    mean = predict(network, load_dataset(config.data))
    place = {row.image: i for i, row in enumerate(own.rows)}
    assert sorted(place) == sorted(row.image for row in found.rows)
    for i, row in enumerate(found.rows):
        expected = mean if row.patient_id == "NEW" else own
        for task, probabilities in expected.probabilities.items():
            there = probabilities[place[row.image]]
            np.testing.assert_allclose(found.probabilities[task][i], there, rtol=1e-4, atol=1e-6)


def test_resuming_trains_only_what_is_missing(trained: tuple[Config, dict[str, Any]]) -> None:
    config, metrics = trained
    kept = (config.output_folder / "fold0" / "latest.pdparams").stat().st_mtime_ns
    (config.output_folder / "fold1" / "metrics.json").unlink()
    lines: list[str] = []
    assert train(config, How(Workers(1), "cpu", resume=True), lines.append) == metrics
    assert lines[0] == "2 trainings, 1 of them finished before"
    assert (config.output_folder / "fold0" / "latest.pdparams").stat().st_mtime_ns == kept


def test_a_missing_fold_is_named(trained: tuple[Config, dict[str, Any]]) -> None:
    config, _ = trained
    (config.output_folder / "fold1" / "latest.pdparams").unlink()
    with pytest.raises(CheckpointError, match="fold1.latest.pdparams"):
        load_run(config.output_folder, "latest")


@pytest.mark.parametrize("wrong", ["data.folds=1", "data.fold=2"])
def test_folds_that_cannot_be_are_refused(config: Config, configs: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match="two folds or more"):
        load_config(configs / "testing.yaml", [wrong])


def test_more_folds_than_patients_are_refused(config: Config) -> None:
    many = replace(config, data=replace(config.data, folds=500))
    dataset = load_dataset(many.data)
    with pytest.raises(ManifestError, match="at least 500 of what a split by patient"):
        split_of(dataset, many.of_fold(0).data)


def test_a_cosine_takes_the_learning_rate_down_to_nearly_nothing(configs: Path) -> None:
    settings = load_config(
        configs / "testing.yaml", ["train.schedule=cosine", "train.steps=100"]
    ).train
    rates = [learning_rate(settings, step) for step in range(100)]
    assert rates[0] == settings.learning_rate and rates[-1] < 1e-3 * settings.learning_rate
    assert rates[50] == pytest.approx(settings.learning_rate / 2)
    assert rates == sorted(rates, reverse=True)


def test_an_ensemble_of_certain_networks_has_no_infinite_logits() -> None:
    class Certain(paddle.nn.Layer):
        tasks = ("malignancy",)

        def probabilities(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
            return {"malignancy": paddle.to_tensor([[1.0, 0.0]])}

    logits = Ensemble([Certain(), Certain()])(paddle.zeros([1]))["malignancy"].numpy()
    assert np.isfinite(logits).all()
