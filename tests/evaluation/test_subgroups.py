"""Subgroups come from scan and crop, add up to the whole, and say where patients are too few."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.evaluation.subgroups import subgroups
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import ManifestRow

Make = Callable[..., Predictions]


@pytest.fixture
def known(perfect: Make, crop_rows: list[ManifestRow]) -> Predictions:
    """Perfect predictions of 8 patients whose series are of the catalogue."""
    makers = {facts.manufacturer: uid for uid, facts in known_series().items()}
    uids = [makers["Philips"]] * 6 + [makers["SIEMENS"]] * 2
    return perfect([replace(r, series_uid=uids[int(r.patient_id[1:])]) for r in crop_rows])


def test_the_groups_are_of_maker_thickness_and_readers_and_add_up(known: Predictions) -> None:
    found = evaluate(known).subgroups
    assert list(found) == ["manufacturer", "slice_thickness_mm", "readers"]  # no image, no size
    assert {name: of.labelled for name, of in found["manufacturer"].items()} == {
        "Philips": 12,
        "SIEMENS": 4,
    }
    for groups in found.values():
        assert sum(of.labelled for of in groups.values()) == 16
    assert list(found["readers"]) == ["4 or more"]


def test_a_group_of_few_patients_is_told(known: Predictions) -> None:
    maker = evaluate(known).subgroups["manufacturer"]
    assert not maker["Philips"].accuracy.too_few
    assert str(maker["SIEMENS"].accuracy) == "too few: 2 patients"


def test_a_group_has_the_scores_of_its_nodules_alone(known: Predictions) -> None:
    wrong = known.labels["malignancy"].copy()
    wrong[60:] = 4 - wrong[60:]  # the last two patients
    p = {**known.probabilities, "malignancy": np.eye(5)[wrong]}
    maker = evaluate(replace(known, probabilities=p)).subgroups["manufacturer"]
    assert maker["Philips"].quadratic_kappa.value == 1.0 and maker["Philips"].mae.value == 0.0
    assert maker["SIEMENS"].mae.value == 1.0


def test_size_is_that_of_the_crops(perfect: Make, crop_rows: list[ManifestRow]) -> None:
    images = np.zeros((80, 32, 32), np.uint8)
    images[:40, :8, :8] = 100  # 6.3 mm across, were it a disc
    images[40:, :14, :14] = 100  # 11 mm
    made = replace(perfect(crop_rows), images=images)
    found = subgroups(made, made.pooled("nodule"))
    assert list(found) == ["diameter_mm", "readers"]  # nothing is known of the series
    assert {name: of.labelled for name, of in found["diameter_mm"].items()} == {
        "6 to 8": 8,
        "over 8": 8,
    }


def test_the_catalogue_knows_every_maker() -> None:
    makers = {facts.manufacturer for facts in known_series().values()}
    assert makers == {"GE MEDICAL SYSTEMS", "Philips", "SIEMENS", "TOSHIBA"}
