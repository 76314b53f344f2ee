"""The saliency of a run: crops of its test part, by a rule, with what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.dataset import load_split
from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.settings import Config
from lungdx_paddle.training import explain
from lungdx_paddle.training.explain import crops_to_explain, explain_run
from lungdx_paddle.training.trainer import train


@pytest.fixture
def config(make_config: Callable[..., Config]) -> Config:
    return make_config("run", "data.split=patient")


def test_a_run_is_explained_on_its_test_part(
    config: Config, shown: Callable[..., np.ndarray]
) -> None:
    train(config, "cpu")
    figure = explain_run(config.output_folder)
    dataset, split = load_split(config.data)
    test_patients = {dataset.manifest.rows[i].patient_id for i in split.test}
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    patients = [title for title in titles if "\n" not in title]
    assert patients and set(patients) <= test_patients
    assert len(titles) == 3 * len(patients)
    assert "test part of the split by patient" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


def test_crops_with_every_label_are_preferred(config: Config) -> None:
    dataset, _ = load_split(config.data)
    chosen = crops_to_explain(dataset, 2)
    assert (chosen.labels[PATHOLOGY] >= 0).all() and (chosen.labels[MALIGNANCY] >= 0).all()
    assert list(chosen.labels[MALIGNANCY]) == sorted(chosen.labels[MALIGNANCY])


def test_a_single_crop_is_enough(config: Config) -> None:
    dataset, _ = load_split(config.data)
    assert len(crops_to_explain(dataset.subset([3]), 5)) == 1


@pytest.mark.parametrize("diagnosed", [True, False])
def test_what_the_label_is_stands_beside_the_answer(
    config: Config, monkeypatch: pytest.MonkeyPatch, diagnosed: bool
) -> None:
    train(config, "cpu")
    dataset, split = load_split(config.data)
    side = (dataset.labels[PATHOLOGY] >= 0) == diagnosed
    part = replace(split, train=split.train[:0], test=np.flatnonzero(side))
    monkeypatch.setattr(explain, "load_split", lambda *_: (dataset, part))
    titles = [axes.get_title() for axes in explain_run(config.output_folder).axes]
    answers = [title for title in titles if "says" in title]
    malignancy = [title for title in answers if "says level" in title]
    assert len(malignancy) == len(answers) / 2 > 0
    assert all("label: level" in title for title in malignancy)
    assert all(("no label" in t) != diagnosed for t in answers if t not in malignancy)
    assert all("over black: " in title for title in answers)


def test_a_folder_without_a_run_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected the output folder of tools/train.py"):
        explain_run(tmp_path)
