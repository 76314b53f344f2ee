"""A finished training judged once more, on its own test part and on other crops."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.errors import CheckpointError, ConfigError, ManifestError
from lungdx_paddle.evaluation.predictions import read_predictions
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.run import evaluate_run
from lungdx_paddle.training.trainer import train


@pytest.fixture
def run(make_config: Callable[..., Config]) -> Path:
    """A folder of a training of a few steps."""
    config = make_config("run")
    train(config, "cpu")
    return config.output_folder


@pytest.fixture
def by_patient(make_config: Callable[..., Config]) -> tuple[Config, set[str]]:
    """A training split by patient, and the patients of its test part."""
    config = make_config("run", "data.split=patient")
    train(config, "cpu")
    return config, set(read_predictions(config.output_folder / "predictions.csv").patients)


def test_the_test_part_scores_as_at_the_end_of_training(run: Path, tmp_path: Path) -> None:
    lines = "\n".join(evaluate_run(run, tmp_path / "eval"))
    again = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    before = json.loads((run / "metrics.json").read_text())
    assert again["test"] == before["test"]
    assert again["leakage"] == before["leakage"]
    assert (tmp_path / "eval" / "predictions.csv").read_bytes() == (
        run / "predictions.csv"
    ).read_bytes()
    assert (tmp_path / "eval" / "scores.png").stat().st_size > 10_000
    assert "this split leaks" in lines and "PHANTOM" in lines and "not a medical device" in lines
    assert "nan" not in lines.replace("malignancy", "").replace("malignant", "")


def test_all_crops_are_judged_and_known_patients_counted(run: Path, tmp_path: Path) -> None:
    lines = evaluate_run(run, tmp_path / "eval", whole=True)
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["part"] == "all crops"
    assert metrics["test"]["patients"] == metrics["leakage"]["patients_on_both_sides"]
    assert any("of these patients are among the" in line for line in lines)


def test_other_crops_are_judged_only_where_the_run_has_not_learned_from_them(
    by_patient: tuple[Config, set[str]], tmp_path: Path
) -> None:
    """With slices of fewer readers the same split would be dealt anew, and leak."""
    config, unseen = by_patient
    evaluate_run(config.output_folder, tmp_path / "eval", ["data.min_readers=1"])
    judged = read_predictions(tmp_path / "eval" / "predictions.csv")
    assert set(judged.patients) == unseen
    metrics = json.loads((tmp_path / "eval" / "metrics.json").read_text())
    assert metrics["leakage"]["leaks"] is False
    every = load_dataset(replace(config.data, min_readers=1)).manifest.rows
    assert len(judged) == sum(row.patient_id in unseen for row in every)


def test_crops_that_the_run_has_learned_from_are_refused(
    by_patient: tuple[Config, set[str]], tmp_path: Path
) -> None:
    config, unseen = by_patient
    whole = read_manifest(config.data.manifest)
    learned = [row for row in whole.rows if row.patient_id not in unseen]
    write_manifest(whole.folder / "learned.csv", learned)
    with pytest.raises(ManifestError, match="all of them in its training part; .*--all"):
        other = f"data.manifest={whole.folder / 'learned.csv'}"
        evaluate_run(config.output_folder, tmp_path / "eval", [other])


def test_without_the_runs_own_crops_all_of_others_can_be_judged(
    make_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = make_config("run")
    train(config, "cpu")
    own = read_manifest(config.data.manifest).folder
    shutil.move(str(own), str(tmp_path / "elsewhere"))
    other = [f"data.manifest={tmp_path / 'elsewhere' / 'manifest.csv'}"]
    with pytest.raises(ManifestError, match="the manifest that the run was trained on.*--all"):
        evaluate_run(config.output_folder, tmp_path / "eval", other)
    lines = evaluate_run(config.output_folder, tmp_path / "eval", other, whole=True)
    assert any("not known which patients it knows" in line for line in lines)


@pytest.mark.parametrize("setting", ["model.fc=12", "data.split=patient", "data.label_set=binary"])
def test_only_the_crops_may_be_overridden(run: Path, tmp_path: Path, setting: str) -> None:
    with pytest.raises(ConfigError, match="expected which crops to judge"):
        evaluate_run(run, tmp_path / "eval", [setting])
    assert not (tmp_path / "eval").exists()


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected the output folder of tools/train.py"):
        evaluate_run(tmp_path, tmp_path / "eval")
