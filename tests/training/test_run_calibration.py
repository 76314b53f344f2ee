"""A cross-validation's scores are calibrated by what other folds say, its model by all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation import calibration_fit
from lungdx_paddle.evaluation.calibration import level_class, tempered
from lungdx_paddle.evaluation.predictions import predict, read_predictions
from lungdx_paddle.evaluation.scores import SCORE_LEVELS, evaluate
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.run import Run, load_run
from lungdx_paddle.training.run_calibration import RunCalibration, calibration_of
from lungdx_paddle.training.trainer import train


@pytest.fixture
def run(calibrated: Config, tmp_path: Path) -> Run:
    """A copy that a test may change."""
    shutil.copytree(calibrated.output_folder, tmp_path / "copy")
    return load_run(tmp_path / "copy")


def test_what_a_fold_is_scored_with_does_not_depend_on_its_labels(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration_fit, "LEAST_NODULES", {"temperature": 10, "cuts": 10})
    made = run.predictions
    fold = np.array(
        [int(run.record.parts[i]) for i in run.record.find(load_dataset(run.config.data))]
    )
    before = RunCalibration.fit(made, fold)
    labels = made.labels["malignancy"].copy()
    labels[fold == 1] = (labels[fold == 1] + 2) % 5
    after = RunCalibration.fit(replace(made, labels={**made.labels, "malignancy": labels}), fold)
    assert before == calibration_of(run)
    assert after.of_folds[1] == before.of_folds[1]
    assert after.of_folds[0] != before.of_folds[0] and after.shipped != before.shipped


def test_the_table_has_what_the_networks_gave_and_the_scores_are_calibrated(run: Run) -> None:
    calibration, metrics = calibration_of(run), run.metrics
    assert calibration is not None and calibration.shipped.cuts
    raw = read_predictions(run.folder / "predictions.csv")
    again = evaluate(raw)
    assert all(metrics.uncalibrated.level(each) == again.level(each) for each in SCORE_LEVELS)
    before, after = (s.nodule["malignancy"] for s in (metrics.uncalibrated, metrics.test))
    assert before.ece != after.ece and before.reliability != after.reliability
    found = evaluate_run(run, device="cpu")
    assert found.metrics == replace(metrics, environment=found.metrics.environment)
    for k, of_fold in enumerate(calibration.of_folds):
        own = load_run(run.members[k]).predictions
        images = [row.image for row in found.predictions.rows]
        place = [images.index(row.image) for row in own.rows]
        expected = tempered(own.probabilities["malignancy"], of_fold.temperatures["malignancy"])
        there = found.predictions.select(place)
        np.testing.assert_allclose(there.probabilities["malignancy"], expected, rtol=1e-4)
        levels = level_class(there.expected_levels, of_fold.cuts)
        assert there.classes["malignancy"].tolist() == levels.tolist()


def test_the_mean_of_all_networks_is_calibrated_by_all_folds(run: Run, tmp_path: Path) -> None:
    manifest = read_manifest(run.config.data.manifest)
    other = manifest.folder / f"{tmp_path.name}.csv"
    write_manifest(other, [replace(r, patient_id=f"N{r.patient_id}") for r in manifest.rows[:60]])
    data = replace(run.config.data, manifest=str(other))
    found = evaluate_run(run, data, every=True, device="cpu").predictions
    calibration = calibration_of(run)
    assert calibration is not None and found.raw is not None
    mean = predict(run.network(), load_dataset(data))  # of all networks
    np.testing.assert_array_equal(
        found.raw.probabilities["malignancy"], mean.probabilities["malignancy"]
    )
    levels = level_class(found.expected_levels, calibration.shipped.cuts)
    assert found.classes["malignancy"].tolist() == levels.tolist()


def edited(run: Run, **changes: object) -> None:
    path = run.folder / "calibration.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}), encoding="utf-8")


def test_a_run_whose_calibration_was_changed_is_not_finished(run: Run) -> None:
    assert run.is_finished
    edited(run, note="mine")
    assert not run.is_finished


def test_a_calibration_of_other_weights_is_not_used(run: Run) -> None:
    edited(run, weights="of an earlier step")
    assert calibration_of(run) is None
    assert evaluate_run(run, device="cpu").metrics.uncalibrated is None


@pytest.mark.parametrize("changes", [{"of_folds": []}, {"shipped": {"cuts": 3}}, {"shipped": None}])
def test_a_damaged_calibration_is_refused(run: Run, changes: dict[str, object]) -> None:
    edited(run, **changes)
    with pytest.raises(
        CheckpointError, match="calibration.json: expected the calibration of 3 fol"
    ):
        evaluate_run(run, device="cpu")


def test_one_network_has_no_calibration(make_config: Callable[..., Config]) -> None:
    config = make_config("run", "train.steps=2")
    metrics = train(config, "cpu")
    run = load_run(config.output_folder)
    assert calibration_of(run) is None and not (run.folder / "calibration.json").exists()
    assert metrics is not None and metrics.uncalibrated is None
    assert run.metrics.digests.calibration == ""


def test_few_nodules_give_a_record_that_says_why(calibrated: Config, run: Run) -> None:
    fold = np.arange(len(run.predictions)) % 3
    few = RunCalibration.fit(run.predictions, fold)
    assert few.shipped.is_identity and "60 nodules: cuts take 200, all levels" in few.shipped.why
    assert few.apply(run.predictions).raw is None
