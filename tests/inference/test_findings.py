"""A finding for each crop, in their order, and only for crops of the model's kind."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.findings import (
    Finding,
    findings_from_crops,
    findings_from_manifest,
)
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.training.run import load_run


def test_findings_are_one_json_line_a_crop_in_order(run: Path, model: Path) -> None:
    config = load_config(run / "config.yaml")
    manifest = read_manifest(config.data.manifest)
    paths = [str(path) for path in manifest.image_paths()[:3]]
    predictor = Predictor(model)
    lines = [finding.to_dict() for finding in findings_from_crops(predictor, paths)]
    assert [line["image"] for line in lines] == paths
    for line in lines:
        assert len(line["malignancy"]["probabilities"]) == 5
        best = int(np.argmax(line["malignancy"]["probabilities"]))
        assert line["malignancy"]["level"] == best + 1
        assert 1 <= line["malignancy"]["expected_level"] <= 5
        assert len(line["pathology"]["probabilities"]) == 6
        assert isinstance(line["pathology"]["class"], str)
    of_all = list(findings_from_manifest(predictor, Path(config.data.manifest)))
    assert [finding.about["image"] for finding in of_all] == [row.image for row in manifest.rows]
    assert of_all[1].to_dict()["malignancy"] == lines[1]["malignancy"]
    assert json.loads(json.dumps(lines)) == lines


def test_the_level_of_a_model_with_cuts_is_that_of_the_expected_level() -> None:
    sure = {"malignancy": np.array([0.55, 0.0, 0.0, 0.0, 0.45])}
    levels = {"malignancy": ("1", "2", "3", "4", "5")}
    likeliest = Finding({}, levels, sure)
    by_cuts = replace(likeliest, cuts=(2.2, 2.7, 3.5, 4.3))
    assert (likeliest.answer("malignancy"), by_cuts.answer("malignancy")) == ("1", "3")
    assert by_cuts.to_dict()["malignancy"]["expected_level"] == 2.8


def test_a_manifest_with_another_window_is_refused(run: Path, model: Path) -> None:
    path = Path(load_config(run / "config.yaml").data.manifest)
    rows = read_manifest(path).rows
    write_manifest(path, [replace(row, window_center=-600.0, window_width=1500.0) for row in rows])
    with pytest.raises(ManifestError, match="gray values 20/2040 HU, found -600/1500 HU; prepr"):
        next(findings_from_manifest(Predictor(model), path))


def test_a_model_of_stretched_pictures_takes_their_crops_and_reads_no_ct(
    run: Path, model: Path
) -> None:
    path = Path(load_run(run).config.data.manifest)
    rows = read_manifest(path).rows
    record = load_run(run).record
    replace(record, rows=tuple(replace(r, hu_from="stretched") for r in record.rows)).write(
        run / "split.csv"
    )
    export(load_run(run), writable_folder(model))
    predictor = Predictor(model)
    with pytest.raises(ManifestError, match="gray values stretched, found 20.*with --stretched"):
        next(findings_from_manifest(predictor, path))
    write_manifest(path, [replace(row, hu_from="stretched") for row in rows])
    assert next(findings_from_manifest(predictor, path))
    with pytest.raises(CheckpointError, match="trained on HU, to read a CT with, found one of pic"):
        _ = predictor.window


def test_a_manifest_by_another_crop_rule_is_refused(run: Path, model: Path) -> None:
    path = Path(load_run(run).config.data.manifest)
    write_manifest(path, [replace(row, crop="context") for row in read_manifest(path).rows])
    with pytest.raises(ManifestError, match="rule paper, found .*context"):
        next(findings_from_manifest(Predictor(model), path))
