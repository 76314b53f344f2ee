"""The saliency of a run: crops of its test part, chosen by a rule, with what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.figures.level_examples import examples_by_level
from lungdx_paddle.manifest import read_rows, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.explain import explain_run
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.split_record import pixel_digests
from lungdx_paddle.training.trainer import train


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    config = make_config("run", "data.split=patient")
    train(config, "cpu")
    return config


def test_a_run_is_explained_on_its_test_part(config: Config) -> None:
    found = explain_run(config.output_folder, examples_by_level, 2, "cpu")
    record = load_run(config.output_folder).record
    trained = {record.rows[i].patient_id for i in record.training_rows()}
    assert found.predictions.rows and len(found.images) == len(found.predictions.rows)
    assert not trained & {row.patient_id for row in found.predictions.rows}
    assert list(found.predictions.labels[MALIGNANCY]) == sorted(
        found.predictions.labels[MALIGNANCY]
    )
    for task, maps in found.maps.items():
        assert maps.shape == found.images.shape
        assert np.isfinite(maps).all() and np.abs(maps).max() > 0, task


def test_crops_of_others_are_refused(
    config: Config, write_crops_into: Callable[..., Path], tmp_path: Path
) -> None:
    others = write_crops_into(tmp_path / "others", patients=2)
    rows = [replace(row, series_uid=f"9.{row.series_uid}") for row in read_rows(others)]
    for row in rows:
        cv2.imwrite(str(others.parent / row.image), np.zeros((32, 32), np.uint8))
    write_manifest(others, rows)
    with pytest.raises(ManifestError, match="found none of them; give the manifest.csv of the"):
        explain_run(config.output_folder, examples_by_level, manifest=str(others))


def test_no_training_crop_is_explained_as_held_out(config: Config) -> None:
    """In a manifest whose rows name the pictures of other rows."""
    manifest = Path(config.data.manifest)
    rows = list(read_rows(manifest))
    turned = [replace(row, image=other.image) for row, other in zip(rows, rows[::-1])]
    write_manifest(manifest.with_name("turned.csv"), turned)
    record = load_run(config.output_folder).record
    trained = {record.pixels[i] for i in record.training_rows()}
    other = str(manifest.with_name("turned.csv"))
    try:
        found = explain_run(config.output_folder, examples_by_level, 2, "cpu", other)
    except ManifestError as error:
        assert "found none of them" in str(error)
        return
    assert not trained & set(pixel_digests(found.images))


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected the output folder of tools/train.py"):
        explain_run(tmp_path, examples_by_level)
