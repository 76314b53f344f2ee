"""Training learns, logs what the paper's Table 2 shows, and resumes to the same result."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from visualdl import LogReader

from lungdx_paddle.errors import ConfigError, LungdxError, ManifestError, OutputError
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training import held_out
from lungdx_paddle.training.dashboard import LOG_NAME
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]
Until = Callable[[Config, int], None]


def table_of(config: Config) -> list[dict[str, str]]:
    with (config.output_folder / "table2.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scalars(config: Config, tag: str) -> list[tuple]:
    reader = LogReader(file_path=str(config.output_folder / "vdl" / LOG_NAME))
    return [(record.id, record.value) for record in reader.get_data("scalar", tag)]


def test_it_learns_what_can_be_learned(make_config: Make) -> None:
    """The made-up crops' brightness is their malignancy."""
    metrics = train(make_config("run", "train.steps=120", "train.log_every=60"), "cpu")
    assert metrics is not None and metrics.train is not None
    assert (metrics.test.accuracy("image", "malignancy").value or 0.0) > 0.7
    assert (metrics.train["malignancy"] or 0.0) > 0.7


def test_table2_begins_with_the_papers_columns_and_holds_a_row_every_log_every(
    make_config: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lungdx_paddle")
    config = make_config("run", "train.steps=25")
    metrics = train(config, "cpu")
    rows = table_of(config)
    paper = (
        "global_step_value",
        "epoch",
        "loss_total_value",
        "accuracy_train_value",
        "accuracy_test_value",
    )
    assert tuple(rows[0])[:5] == paper
    assert [row["global_step_value"] for row in rows] == ["10", "20", "25"]
    assert [row["epoch"] for row in rows] == ["5", "10", "12"]  # 2 steps of 16 in 38 images
    last = rows[-1]
    own = [float(last[f"accuracy_test_{task}"]) for task in ("malignancy", "pathology")]
    assert float(last["accuracy_test_value"]) == pytest.approx(sum(own) / 2, abs=1e-6)
    assert metrics is not None
    assert metrics.test.total("image") == pytest.approx(sum(own) / 2, abs=1e-6)
    assert sum("    25" in line for line in caplog.messages) == 1


def test_the_dashboard_has_every_step_and_every_row(make_config: Make) -> None:
    config = make_config("run")
    train(config, "cpu")
    tags = set(
        LogReader(file_path=str(config.output_folder / "vdl" / LOG_NAME)).get_tags()["scalar"]
    )
    every_step = {"loss/total", "loss/malignancy", "loss/pathology", "learning_rate"}
    every_step |= {"steps_per_second", "accuracy_batch/total", "accuracy_batch/malignancy"}
    every_row = {"accuracy_train/total", "accuracy_test/total", "accuracy_test/pathology"}
    every_row |= {"share_malignancy/pool1", "share_pathology/fc"}
    assert every_step | every_row <= tags
    assert [step for step, _ in scalars(config, "loss/total")] == list(range(1, 21))
    assert [step for step, _ in scalars(config, "accuracy_test/total")] == [10, 20]
    rows = table_of(config)
    assert scalars(config, "accuracy_test/total")[-1][1] == pytest.approx(
        float(rows[-1]["accuracy_test_value"]), abs=1e-6
    )


def test_a_resumed_run_ends_as_an_unbroken_one(
    make_config: Make, train_until: Until, disk: Any
) -> None:
    whole = make_config("whole", "train.steps=40")
    train(whole, "cpu")
    assert disk.lost(whole.output_folder) == set() and disk.too_soon == []  # by a power cut
    broken = make_config("broken", "train.steps=40")
    train_until(broken, 25)
    train(broken, "cpu", resume=True)
    assert table_of(broken) == table_of(whole)
    weights = [(c.output_folder / "latest.safetensors").read_bytes() for c in (whole, broken)]
    assert weights[0] == weights[1]
    tag = "loss/total"
    assert dict(scalars(broken, tag)) == pytest.approx(dict(scalars(whole, tag)))
    assert len(list((broken.output_folder / "vdl").iterdir())) == 1  # the server reads one file


def test_the_same_seed_gives_the_same_table(make_config: Make) -> None:
    tables = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        config = make_config(folder, f"seed={seed}")
        train(config, "cpu")
        tables.append(table_of(config))
    assert tables[0] == tables[1] != tables[2]


def test_a_finished_run_resumed_is_the_same_and_more_steps_continue_it(make_config: Make) -> None:
    config = make_config("run")
    first = train(config, "cpu")
    again = train(config, "cpu", resume=True)
    assert first is not None and again is not None
    assert replace(again, environment=first.environment) == first
    train(make_config("run", "train.steps=30"), "cpu", resume=True)
    assert [row["global_step_value"] for row in table_of(config)] == ["10", "20", "30"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "seed is 1 instead of 0"),
        ("data.split=patient", "data.split is patient instead of image"),
        ("model.fc=12", "model.fc is 12 instead of 10"),
    ],
)
def test_another_run_is_not_resumed(make_config: Make, override: str, message: str) -> None:
    config = make_config("run")
    train(config, "cpu")
    before = table_of(config)
    with pytest.raises(LungdxError, match=message):
        train(make_config("run", override), "cpu", resume=True)
    assert table_of(config) == before


def test_metrics_have_every_level_and_no_nan(make_config: Make) -> None:
    config = make_config("run", "data.split=patient")
    train(config, "cpu")
    text = (config.output_folder / "metrics.json").read_text(encoding="utf-8")
    assert "NaN" not in text
    metrics = json.loads(text)
    assert metrics["leakage"]["leaks"] is False
    assert {"image", "nodule", "patient", "diagnosis", "readers", "baselines"} <= set(
        metrics["test"]
    )


def test_a_loss_that_is_no_number_stops_the_run(make_config: Make) -> None:
    with pytest.raises(LungdxError, match="lower train.learning_rate"):
        train(make_config("run", "train.learning_rate=1e30"), "cpu")


def test_a_task_without_a_label_is_an_error(make_config: Make) -> None:
    config = make_config("run")
    manifest = Path(config.data.manifest)
    rows = read_manifest(manifest).rows
    write_manifest(manifest, [replace(row, diagnosis=None) for row in rows])
    with pytest.raises(
        ManifestError, match="a label for pathology; .* again with --diagnosis FILE"
    ):
        train(config, "cpu")
    unknown = [replace(row, diagnosis=0, primary_site="") for row in rows]
    write_manifest(manifest, unknown)
    with pytest.raises(ManifestError, match="; set data.label_set=tcia4, which has some"):
        train(config, "cpu")
    train(make_config("codes", "data.label_set=tcia4"), "cpu")
    for label_set, column in (
        ("binary_certain", "nodule_diagnoses"),
        ("tissue_proven", "diagnosis_method"),
    ):
        fix = f"the manifest has no {column}: .*--manifest MANIFEST --diagnosis FILE --out DIR"
        with pytest.raises(ManifestError, match=fix):
            train(make_config("run", f"data.label_set={label_set}"), "cpu")
    assert not (config.output_folder / "config.yaml").exists()


def test_a_second_training_in_a_folder_is_refused_and_the_first_may_be_read(
    make_config: Make, another_in: Callable
) -> None:
    config = make_config("run")
    train(config, "cpu")
    before = {p: p.read_bytes() for p in config.output_folder.rglob("*") if p.is_file()}
    with another_in(config.output_folder) as first:
        for resume in (False, True):
            with pytest.raises(OutputError, match=f"found process {first.pid} on .*; wait for it"):
                train(config, "cpu", resume)
        assert evaluate_run(load_run(config.output_folder), device="cpu").metrics.step == 20
        assert {path: path.read_bytes() for path in before} == before


def test_an_evaluation_beside_a_training_names_the_step_of_the_weights_that_it_scores(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("run")
    train(config, "cpu")
    run, longer = load_run(config.output_folder), make_config("run", "train.steps=30")

    def meanwhile(*args: Any) -> Predictions:
        with monkeypatch.context() as patch:
            patch.setattr(held_out, "predict", predict)
            train(longer, "cpu", resume=True)
        return predict(*args)

    weights = run.digests.weights
    monkeypatch.setattr(held_out, "predict", meanwhile)
    metrics = evaluate_run(run, device="cpu").metrics
    assert (metrics.step, metrics.digests.weights) == (20, weights)
    assert run.digests.weights != weights


@pytest.mark.filterwarnings("ignore:Tensor do not have 'place' interface")  # Paddle's own call
def test_a_compiled_network_learns_the_same(make_config: Make) -> None:
    plain, compiled = make_config("plain"), make_config("compiled", "train.to_static=true")
    train(plain, "cpu")
    train(compiled, "cpu")
    tag = "loss/total"
    assert dict(scalars(compiled, tag)) == pytest.approx(dict(scalars(plain, tag)), abs=1e-5)
    assert table_of(compiled) == table_of(plain)


def test_half_precision_wants_a_gpu(make_config: Make) -> None:
    config = make_config("run", "train.amp=bfloat16")
    with pytest.raises(ConfigError, match="expected a GPU.*set train.amp=none"):
        train(config, "cpu")
