"""The last lines of a training say what its number is worth and what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.commands import cli, eval_run, train_run
from lungdx_paddle.commands.run_wording import unseen_patients_line
from lungdx_paddle.evaluation import intervals
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train

Make = Callable[..., Config]


def train_command(config: Config, *more: str) -> None:
    own = [f"output={config.output_folder}", f"data.manifest={config.data.manifest}", *more]
    train_run.main(["-c", "configs/testing.yaml", "-o", *own, "--device", "cpu"])


def test_the_last_lines_have_result_leak_phantom_environment_and_what_to_do(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config("my run")
    train_command(config)
    text = capsys.readouterr().out
    assert "PHANTOM" in text and "this split leaks" in text
    assert "research use, not a medical device" in text
    for line in ("image", "nodule", "patient"):
        assert f"\n  {line}" in text
    assert "Tesla V100" in text and load_run(config.output_folder).environment.processor in text
    for command in ("visualdl --logdir", "tools/export.py --run", "tools/predict.py --model"):
        assert f"{command} {cli.quoted(config.output_folder)}"[:-1] in text
    assert (config.output_folder / "curves.png").stat().st_size > 10_000


def test_eval_words_every_score_and_names_what_it_wrote(
    make_config: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    config = make_config("run")
    train(config, "cpu")
    eval_run.main(["--run", str(config.output_folder), "--device", "cpu"])
    text = capsys.readouterr().out
    assert "kappa has quadratic" in text and "PHANTOM" in text and "this split leaks" in text
    for name in ("network", "size and brightness", "silhouette", "commonest class", "reader"):
        assert re.search(rf"^  {name} +(too few|[01][.])", text, re.MULTILINE), name
    assert "slice thickness: none, the slice thickness is not known of every crop" in text
    assert "metrics.json, predictions.csv, scores.png" in text
    assert "nan" not in text.replace("malignan", "")
    written = {path.name for path in (config.output_folder / "eval").iterdir()}
    assert written == {"metrics.json", "predictions.csv", "scores.png"}


def test_a_leaking_run_names_the_command_for_unseen_patients_and_then_the_number(
    make_config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config("run")
    line = unseen_patients_line(config)
    assert f"-c {config.output_folder}/config.yaml -o data.split=patient" in line
    apart = config.by_patient()
    assert line.split("output=")[1] == apart.output
    train(apart, "cpu")
    few = "Split by patient, the same config: test accuracy by image too few, by patient too few"
    assert unseen_patients_line(config) == few
    monkeypatch.setattr(intervals, "LEAST_PATIENTS", 1)
    assert "the same config: test accuracy by image 0." in unseen_patients_line(config)


def test_a_task_of_two_patients_is_no_number_and_the_total_says_what_it_rests_on(
    make_config: Make, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="lungdx_paddle")
    config = make_config("run", "data.label_set=binary", "data.min_readers=1")
    manifest = Path(config.data.manifest)
    rows = read_manifest(manifest).rows
    few = [replace(r, diagnosis=2 if r.patient_id in ("P00", "P02") else None) for r in rows]
    write_manifest(manifest, few)
    train_command(config, "data.label_set=binary", "data.min_readers=1")
    rows_of_table2 = [line for line in caplog.messages if line.startswith("    20 ")]
    eval_run.main(["--run", str(config.output_folder), "--device", "cpu"])
    text = capsys.readouterr().out
    line = (
        "  pathology: too few: 2 patients; a number is shown of 6 or more\n  both: malignancy alone"
    )
    assert text.count(line) == 2
    told = "pathology, test part: too few: 2 patients; the accuracies are without it"
    assert told in caplog.messages
    assert "pathology, test part: every label is of one class, malignant" in caplog.messages
    assert [line.split()[-1] for line in rows_of_table2] == ["-"]
    metrics = load_run(config.output_folder).metrics.test
    image = [line.split() for line in text.splitlines() if line.startswith("  image ")]
    shown = f"{metrics.accuracy('image', 'malignancy').value:.4f}"
    assert [words[1:5] for words in image] == [[shown, shown, "too", "few"]] * 2
    assert metrics.accuracy("image", "pathology").why == "too few: 2 patients"


def test_a_number_of_other_settings_is_not_given_as_the_same(make_config: Make) -> None:
    config = make_config("run")
    train(make_config("run_by_patient", "data.split=patient", "seed=1"), "cpu")
    assert "but a run of other settings" in unseen_patients_line(config)


@pytest.mark.parametrize("setting", ["model.fc=12", "data.split=patient", "data.label_set=binary"])
def test_only_the_crops_may_be_overridden_in_an_evaluation(make_config: Make, setting: str) -> None:
    from lungdx_paddle.errors import ConfigError

    config = make_config("run")
    train(config, "cpu")
    with pytest.raises(ConfigError, match="expected other crops"):
        eval_run.main(["--run", str(config.output_folder), "-o", setting])
    assert not (config.output_folder / "eval").exists()
