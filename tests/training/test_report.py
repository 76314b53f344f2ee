"""The last lines of a training say what its number is worth."""

from __future__ import annotations

import json
from pathlib import Path

from lungdx_paddle.config import load_config
from lungdx_paddle.training.report import on_unseen_patients


def test_a_leaking_run_names_the_command_for_the_honest_number_and_then_the_number(
    configs: Path, tmp_path: Path
) -> None:
    config = load_config(configs / "testing.yaml", [f"output={tmp_path / 'run'}"])
    line = on_unseen_patients(config)
    assert f"-c {tmp_path / 'run'}/config.yaml -o data.split=patient" in line
    twin = Path(line.split("output=")[1])
    twin.mkdir()
    (twin / "metrics.json").write_text(json.dumps({"test": {"image": {"total": 0.42821}}}))
    assert on_unseen_patients(config) == "Split by patient, the same config: 0.4282"
