"""What settings mean together: where a run writes, and which runs follow from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.settings import Config, DataConfig, SharingConfig


def test_a_run_writes_to_its_output_setting_or_a_folder_of_its_name() -> None:
    assert Config(name="best").output_folder == Path("output/best")
    assert Config(name="best", output="elsewhere").output_folder == Path("elsewhere")


def test_the_training_by_patient_differs_in_split_and_folder_only() -> None:
    apart = Config(seed=3).by_patient()
    assert apart.output_folder == Path("output/partial_soft_by_patient")
    assert apart.data.split == "patient"
    assert replace(apart, output="", data=replace(apart.data, split="image")) == Config(seed=3)


def test_the_folds_of_an_ensemble_are_networks_in_folders_inside_its_own() -> None:
    ensemble = Config(data=DataConfig(folds=3))
    folds = [ensemble.of_fold(k) for k in range(3)]
    assert ensemble.is_ensemble and not any(fold.is_ensemble for fold in folds)
    assert [fold.data.fold for fold in folds] == [0, 1, 2]
    assert len({fold.output_folder for fold in folds}) == 3
    assert all(fold.output_folder.parent == ensemble.output_folder for fold in folds)


@pytest.mark.parametrize(("folds", "fold"), [(1, -1), (5, 5), (0, 0)])
def test_folds_that_cannot_be_are_refused(folds: int, fold: int) -> None:
    with pytest.raises(ConfigError, match="two folds or more, and a fold from 0 to below"):
        Config(data=DataConfig(folds=folds, fold=fold))


def test_one_trunk_shares_nowhere_else() -> None:
    assert Config(sharing=SharingConfig(sites=("trunk",)))
    with pytest.raises(ConfigError, match="trunk alone, or stages only"):
        Config(sharing=SharingConfig(sites=("trunk", "fc")))
