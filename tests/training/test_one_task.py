"""Crops without any diagnosis train malignancy alone, from the training to the JSON lines."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.commands import (
    draw_figures,
    eval_run,
    export_model,
    predict_nodules,
    run_wording,
    train_run,
)
from lungdx_paddle.data.labels import UNLABELLED
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.evaluation.predictions import read_predictions
from lungdx_paddle.inference.description import read_description
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.table2 import PAPER_COLUMNS
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]
Until = Callable[[Config, int], None]
ALONE = "data.label_set=none"


@pytest.fixture
def make_undiagnosed(make_config: Make) -> Make:
    """As ``make_config``, with crops of which none has a diagnosis."""

    def make(*arguments: str) -> Config:
        config = make_config(*arguments)
        manifest = Path(config.data.manifest)
        rows = read_manifest(manifest).rows
        write_manifest(manifest, [replace(row, diagnosis=None, primary_site="") for row in rows])
        return config

    return make


def test_the_refusal_of_undiagnosed_crops_names_a_setting_that_trains(
    make_undiagnosed: Make,
) -> None:
    with pytest.raises(ManifestError, match=f"train malignancy alone with -o {ALONE}, or "):
        train(make_undiagnosed("run"), "cpu")
    metrics = train(make_undiagnosed("run", ALONE), "cpu")
    assert metrics is not None and metrics.train is not None
    for level in (metrics.test.image, metrics.test.nodule, metrics.test.patient):
        assert list(level) == ["malignancy"]
    assert metrics.test.total("image") == metrics.test.accuracy("image", "malignancy").value
    assert metrics.train["total"] == metrics.train["malignancy"]


def test_diagnoses_that_are_there_are_not_used(make_config: Make) -> None:
    config = make_config("run", ALONE)
    train(config, "cpu")
    assert list(load_run(config.output_folder).record.labels) == ["malignancy"]


@pytest.mark.parametrize("more", [(), ("data.folds=2", "data.split=patient")])
def test_from_training_to_prediction_there_is_one_task(
    more: tuple[str, ...], make_undiagnosed: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_undiagnosed("run", ALONE, *more)
    run, model, manifest = config.output_folder, config.output_folder / "m", config.data.manifest
    own = [f"output={run}", f"data.manifest={manifest}", ALONE, *more]
    train_run.main(["-c", "configs/testing.yaml", "--device", "cpu", "--jobs", "1", "-o", *own])
    eval_run.main(["--run", str(run), "--all", "--device", "cpu"])
    export_model.main(["--run", str(run), "--out", str(model)])
    draw_figures.main(["--run", str(run), "--out", str(run / "figures"), "--device", "cpu"])
    screen = capsys.readouterr().out
    assert "accuracy    malignancy\n" in screen and "pathology" not in screen
    predict_nodules.main(["--model", str(model), "--manifest", manifest])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(read_manifest(Path(manifest)))
    keys = ("image", "patient_id", "nodule", "z_mm", "malignancy")
    assert {tuple(line) for line in lines} == {keys}
    assert list(read_description(model).tasks) == ["malignancy"]
    found = read_predictions(run / "eval" / "predictions.csv")
    assert (found.labels["malignancy"] != UNLABELLED).all() and len(found.labels) == 1
    # A card explains how mistakes of either task are ordered.
    files = [p for p in run.rglob("*") if p.is_file() and p.name != "MODEL_CARD.md"]
    assert files and [path for path in files if b"pathology" in path.read_bytes()] == []


def test_table_2_keeps_its_columns_and_the_screen_says_whose_accuracy_it_is(
    make_undiagnosed: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lungdx_paddle")
    config = make_undiagnosed("run", ALONE)
    train(config, "cpu")
    with (config.output_folder / "table2.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    own = ("accuracy_train_malignancy", "accuracy_test_malignancy")
    assert tuple(rows[0]) == (*PAPER_COLUMNS, *own)
    assert all(row["accuracy_test_value"] == row["accuracy_test_malignancy"] for row in rows)
    assert "malignancy alone: one tower, and every accuracy is of this task; on cpu" in caplog.text
    assert "(malignancy, test)" in caplog.text and "pathology" not in caplog.text


def test_it_is_resumed_to_the_same_bytes(make_undiagnosed: Make, train_until: Until) -> None:
    whole, broken = (make_undiagnosed(name, ALONE) for name in ("whole", "broken"))
    train(whole, "cpu")
    train_until(broken, 15)
    train(broken, "cpu", resume=True)
    for name in ("latest.safetensors", "predictions.csv", "table2.csv"):
        same = [(config.output_folder / name).read_bytes() for config in (whole, broken)]
        assert same[0] == same[1], name


def test_the_table_of_accuracies_has_no_mean_of_both(make_undiagnosed: Make) -> None:
    metrics = train(make_undiagnosed("run", ALONE), "cpu")
    assert metrics is not None
    title, image, *_ = run_wording.accuracy_lines(metrics.test)
    assert title.split() == ["accuracy", "malignancy"]
    assert image.split()[1] == metrics.test.shown("image")["malignancy"]
