"""The last lines of a training say what its number is worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from lungdx_paddle.commands.wording import on_unseen_patients
from lungdx_paddle.config import load_config, save_config
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.evaluation.readers import ReaderAgreement
from lungdx_paddle.evaluation.scores import Scores, TaskScores
from lungdx_paddle.settings import Config


def test_a_leaking_run_names_the_command_for_the_honest_number_and_then_the_number(
    configs: Path, tmp_path: Path
) -> None:
    config = load_config(configs / "testing.yaml", [f"output={tmp_path / 'run'}"])
    line = on_unseen_patients(config)
    assert f"-c {tmp_path / 'run'}/config.yaml -o data.split=patient" in line
    apart = config.by_patient()
    assert line.split("output=")[1] == apart.output
    finish(apart)
    assert on_unseen_patients(config).endswith("test accuracy 0.4282 by image, 0.3000 by patient")


def test_a_number_of_other_settings_is_not_given_as_the_same(configs: Path, tmp_path: Path) -> None:
    config = load_config(configs / "testing.yaml", [f"output={tmp_path / 'run'}"])
    finish(replace(config.by_patient(), seed=1))
    line = on_unseen_patients(config)
    assert "other settings (seed is 0 instead of 1)" in line and "0.4282" not in line


def finish(config: Config) -> None:
    """Write what a finished run leaves of its score."""
    config.output_folder.mkdir()
    save_config(config, config.output_folder / "config.yaml")
    unknown = Estimate(None, None, 0, "made up")
    at = {
        level: {"malignancy": TaskScores(1, Estimate(value, None, 1))}
        for level, value in (("image", 0.42821), ("nodule", 0.5), ("patient", 0.3))
    }
    test = Scores(1, 1, 1, **at, diagnosis_auc=unknown, readers=ReaderAgreement(*[unknown] * 4))
    (config.output_folder / "metrics.json").write_text(json.dumps({"test": test.to_dict()}))
