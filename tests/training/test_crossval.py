"""A cross-validation: every patient is scored by a network that was not trained on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import paddle
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import load_dataset, split_of
from lungdx_paddle.errors import CheckpointError, ConfigError, ManifestError, OutputError
from lungdx_paddle.evaluation.predictions import predict, read_predictions
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.models.ensemble import Ensemble
from lungdx_paddle.settings import Config
from lungdx_paddle.training import trainer
from lungdx_paddle.training.checkpoint import CHECKPOINT
from lungdx_paddle.training.crossval import cross_validate
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.run_metrics import RunMetrics
from lungdx_paddle.training.step import learning_rate

ONE_BY_ONE = JobOptions(jobs=1, device="cpu")
RESUMED = replace(ONE_BY_ONE, resume=True)


@pytest.fixture
def config(write_crops: Callable[..., Path], configs: Path, tmp_path: Path) -> Config:
    """Two folds of the tiny config."""
    settings = ["data.split=patient", "data.folds=2", "train.steps=3", "train.log_every=3"]
    own = [*settings, f"data.manifest={write_crops()}", f"output={tmp_path / 'run'}"]
    (tmp_path / "run").mkdir()
    return load_config(configs / "testing.yaml", own)


@pytest.fixture
def trained(config: Config, monkeypatch: pytest.MonkeyPatch) -> tuple[Config, RunMetrics]:
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    return config, cross_validate(config, ONE_BY_ONE)


def test_the_folds_test_every_image_once_and_share_no_patient(config: Config) -> None:
    dataset = load_dataset(config.data)
    splits = [split_of(dataset, config.of_fold(k).data) for k in range(2)]
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(dataset)))
    patients = np.array([row.patient_id for row in dataset.manifest.rows])
    for split in splits:
        assert len(split.test) > 0
        assert not set(patients[split.train]) & set(patients[split.test])


def test_each_image_is_scored_by_the_network_that_was_not_trained_on_it(
    trained: tuple[Config, RunMetrics],
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
    assert metrics.test.images == len(pooled.rows) == len(load_dataset(config.data))
    assert not metrics.leakage.leaks and metrics.folds == config.data.folds
    run = load_run(config.output_folder)
    assert run.metrics == metrics
    assert {load_run(path).metrics.folds for path in run.members} == {0}  # one network each


def test_each_image_has_the_baseline_of_its_folds_training_part(
    trained: tuple[Config, RunMetrics],
) -> None:
    config, metrics = trained
    for name, baseline in metrics.test.baselines.items():
        folds = [load_run(path).metrics for path in load_run(config.output_folder).members]
        own = [fold.test.baselines[name] for fold in folds]
        if baseline.why:
            assert {fold.why for fold in own} == {baseline.why}
        else:
            counts = [np.array(fold.image["malignancy"].confusion) for fold in own]
            assert np.array_equal(sum(counts), baseline.image["malignancy"].confusion), name


def test_a_power_cut_takes_nothing_of_a_finished_cross_validation(
    config: Config, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    cross_validate(config, ONE_BY_ONE)
    assert disk.lost(config.output_folder) == set() and disk.too_soon == []


def test_the_model_is_the_mean_of_its_networks(trained: tuple[Config, RunMetrics]) -> None:
    config, _ = trained
    network = load_run(config.output_folder).network()
    assert isinstance(network, Ensemble)
    dataset = load_dataset(config.data)
    parts = [predict(member, dataset).probabilities for member in network.members]
    for task, mean in predict(network, dataset).probabilities.items():
        expected = (parts[0][task] + parts[1][task]) / 2
        np.testing.assert_allclose(mean, expected, atol=1e-6)


def test_evaluating_it_again_gives_the_scores_of_its_training(
    trained: tuple[Config, RunMetrics],
) -> None:
    config, metrics = trained
    again = evaluate_run(load_run(config.output_folder), device="cpu").metrics
    assert again.test == metrics.test and again.digests == metrics.digests
    assert "2 folds by patient" in again.part


def test_a_patient_of_no_fold_is_scored_by_all_networks_and_others_by_their_own(
    trained: tuple[Config, RunMetrics],
) -> None:
    config, _ = trained
    whole = read_manifest(config.data.manifest)
    new = []
    for row in whole.rows:
        if row.patient_id == "P00":  # other pixels, or it would be known by them
            image = 255 - cv2.imread(str(whole.folder / row.image), cv2.IMREAD_GRAYSCALE)
            cv2.imwrite(str(whole.folder / row.image), image)
            new.append(replace(row, patient_id="NEW", series_uid="9.9"))
    write_manifest(
        whole.folder / "other.csv", [*(r for r in whole.rows if r.patient_id != "P00"), *new]
    )
    data = replace(config.data, manifest=str(whole.folder / "other.csv"))
    run = load_run(config.output_folder)
    found = evaluate_run(run, data, device="cpu").predictions
    mean = predict(run.network(), load_dataset(data))
    place = {row.image: i for i, row in enumerate(mean.rows)}
    own = {row.image: i for i, row in enumerate(run.predictions.rows)}
    assert sorted(place) == sorted(row.image for row in found.rows)
    for i, row in enumerate(found.rows):
        is_new = row.patient_id == "NEW"
        expected, j = (mean, place[row.image]) if is_new else (run.predictions, own[row.image])
        for task, probabilities in expected.probabilities.items():
            there = found.probabilities[task][i]
            np.testing.assert_allclose(there, probabilities[j], rtol=1e-4, atol=1e-6)


def test_resuming_trains_only_what_is_missing(
    trained: tuple[Config, RunMetrics], caplog: pytest.LogCaptureFixture
) -> None:
    config, metrics = trained
    kept = (config.output_folder / "fold0" / "latest.safetensors").stat().st_mtime_ns
    (config.output_folder / "fold1" / "metrics.json").unlink()
    caplog.set_level("INFO", logger="lungdx_paddle")
    again = cross_validate(config, RESUMED)
    assert replace(again, environment=metrics.environment) == metrics
    assert "2 trainings, 1 of them finished before" in caplog.messages
    assert (config.output_folder / "fold0" / "latest.safetensors").stat().st_mtime_ns == kept


def interrupt(monkeypatch: pytest.MonkeyPatch, fold: int) -> None:
    """Let the training of a fold be stopped at its first step."""
    step = trainer.training_step

    def interrupted(state: trainer.TrainingState) -> object:
        if state.config.data.fold == fold:
            raise KeyboardInterrupt
        return step(state)

    monkeypatch.setattr(trainer, "training_step", interrupted)


def test_a_cross_validation_begun_anew_and_stopped_is_not_taken_for_finished(
    trained: tuple[Config, RunMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, _ = trained
    interrupt(monkeypatch, fold=1)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(config, ONE_BY_ONE)
    run = load_run(config.output_folder)
    assert not run.is_finished and not (run.folder / "metrics.json").exists()


def grown(config: Config) -> None:
    """As many patients again, sorted before the others."""
    rows = read_manifest(config.data.manifest).rows
    folder = Path(config.data.manifest).parent
    new = []
    for row in rows:
        image = f"new/{row.image}"
        (folder / image).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / row.image, folder / image)
        names = {"patient_id": f"A{row.patient_id}", "series_uid": f"9.{row.series_uid}"}
        new.append(replace(row, image=image, **names))
    write_manifest(config.data.manifest, [*new, *rows])


def test_folds_of_two_trainings_are_not_one_model(
    trained: tuple[Config, RunMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Begun anew on more patients and stopped in fold 0: fold 1 must not be the old one."""
    config, _ = trained
    grown(config)
    interrupt(monkeypatch, fold=0)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(config, ONE_BY_ONE)
    monkeypatch.undo()
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    with pytest.raises(CheckpointError, match="found no latest.safetensors"):
        load_run(config.output_folder).network()
    metrics = cross_validate(config, RESUMED)  # and it goes on
    assert not metrics.leakage.leaks and load_run(config.output_folder).is_finished


def test_a_fold_resumed_on_sorted_crops_holds_out_what_the_record_says(
    trained: tuple[Config, RunMetrics], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fold 1 was never begun when the rows were sorted: its part must not be dealt anew."""
    config, metrics = trained
    interrupt(monkeypatch, fold=1)
    with pytest.raises(KeyboardInterrupt):
        cross_validate(config, ONE_BY_ONE)
    monkeypatch.undo()
    monkeypatch.setenv("LUNGDX_THREADS", "1")
    shutil.rmtree(config.output_folder / "fold1")
    write_manifest(config.data.manifest, read_manifest(config.data.manifest).rows[::-1])
    again = cross_validate(config, RESUMED)
    assert again.test == metrics.test and again.digests.weights == metrics.digests.weights


def test_folds_exchanged_by_hand_are_noticed(trained: tuple[Config, RunMetrics]) -> None:
    folder = trained[0].output_folder
    (folder / "fold0").rename(folder / "x")
    (folder / "fold1").rename(folder / "fold0")
    (folder / "x").rename(folder / "fold1")
    with pytest.raises(CheckpointError, match="expected fold 0 of the cross-validation"):
        load_run(folder).network()


def test_checkpoints_exchanged_by_hand_are_noticed(trained: tuple[Config, RunMetrics]) -> None:
    folder = trained[0].output_folder
    for name in CHECKPOINT:
        (folder / "fold0" / name).rename(folder / name)
        (folder / "fold1" / name).rename(folder / "fold0" / name)
        (folder / name).rename(folder / "fold1" / name)
    with pytest.raises(CheckpointError, match="found one of other settings, crops or another"):
        load_run(folder).network()
    with pytest.raises(CheckpointError, match="found one of other settings, crops or another"):
        cross_validate(trained[0], RESUMED)


def test_a_finished_cross_validation_goes_on_with_more_steps(
    trained: tuple[Config, RunMetrics], tmp_path: Path
) -> None:
    config, _ = trained
    longer = replace(config, train=replace(config.train, steps=6))
    again = cross_validate(longer, RESUMED)
    (tmp_path / "unbroken").mkdir()
    unbroken = cross_validate(replace(longer, output=str(tmp_path / "unbroken")), ONE_BY_ONE)
    assert again.step == 6 and again.test == unbroken.test
    with pytest.raises(ConfigError, match="expected train.steps of 6 or more, which are done"):
        cross_validate(config, RESUMED)
    assert load_run(config.output_folder).is_finished


def test_a_moved_cross_validation_is_resumed(
    trained: tuple[Config, RunMetrics], tmp_path: Path
) -> None:
    config, metrics = trained
    config.output_folder.rename(tmp_path / "moved")
    moved = replace(config, output=str(tmp_path / "moved"))
    again = cross_validate(moved, RESUMED)
    assert again.test == metrics.test


def test_a_cross_validation_is_not_resumed_on_other_data(
    trained: tuple[Config, RunMetrics],
) -> None:
    config, _ = trained
    rows = read_manifest(config.data.manifest).rows
    write_manifest(config.data.manifest, [row for row in rows if row.patient_id != "P03"])
    with pytest.raises(ManifestError, match="crops that the run was started with.*missing"):
        cross_validate(config, RESUMED)


def test_a_missing_fold_is_named(trained: tuple[Config, RunMetrics]) -> None:
    config, _ = trained
    (config.output_folder / "fold1" / "latest.safetensors").unlink()
    with pytest.raises(CheckpointError, match="fold1.*found no latest.safetensors"):
        load_run(config.output_folder).network()


@pytest.mark.parametrize("folder", ["", "fold1"])
def test_a_cross_validation_does_not_mix_with_a_training_in_its_folders(
    config: Config, another_in: Callable, folder: str
) -> None:
    taken = config.output_folder / folder
    with another_in(taken), pytest.raises(OutputError, match=f"{taken}: expected a folder that no"):
        cross_validate(config, ONE_BY_ONE)


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
