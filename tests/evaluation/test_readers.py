"""Network and readers are compared with the same ratings, and both with the diagnosis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.readers import compare_readers, diagnosis_aucs
from lungdx_paddle.manifest import ManifestRow, read_manifest

Make = Callable[..., Predictions]


@pytest.fixture
def nodules(perfect: Make, crop_rows: list[ManifestRow]) -> Callable[..., Predictions]:
    """A function (ratings) -> the nodules of the made-up crops, each rated so."""
    return lambda *ratings: perfect(
        [replace(row, malignancy_ratings=ratings) for row in crop_rows]
    ).pooled("nodule")


def test_each_rating_meets_the_median_of_the_others(nodules: Callable[..., Predictions]) -> None:
    # Of 1, 1, 1, 3 the last is two off the others' median 1; each 1 meets the median 1.
    found = compare_readers(nodules(1, 1, 1, 3))
    assert (found.comparisons, found.nodules) == (64, 16)
    assert found.reader["accuracy"].value == found.reader["within_one"].value == 0.75
    assert found.reader["mae"].value == 0.5


def test_the_network_meets_the_same_medians_and_not_that_of_all(
    nodules: Callable[..., Predictions],
) -> None:
    # The median of all is 3, which is the label; those of the others are 4, 4, 2 and 2.
    made = nodules(2, 2, 4, 4)
    assert set(made.labels["malignancy"].tolist()) == {2}
    found = compare_readers(made)
    assert found.network["accuracy"].value == 0.0 and found.network["mae"].value == 1.0
    assert found.reader["mae"].value == 2.0
    assert found.difference["mae"].value == -1.0
    assert found.difference["within_one"].interval == (1.0, 1.0)


def test_a_single_rating_is_compared_with_nothing(nodules: Callable[..., Predictions]) -> None:
    found = compare_readers(nodules(4))
    why = "no nodule has two ratings"
    assert {(of["mae"].value, of["mae"].why) for of in (found.reader, found.difference)} == {
        (None, why)
    }


def test_primary_and_metastatic_patients_are_told_from_benign_ones_apart(
    perfect: Make, crop_rows: list[ManifestRow]
) -> None:
    # Primary cancers look malignant to all, metastases benign to the network alone.
    level = {1: 2, 2: 5, 3: 4}
    rows = [
        replace(row, malignancy_ratings=(level.get(row.diagnosis or 0, 3),)) for row in crop_rows
    ]
    made = perfect(rows)
    codes = np.array([row.diagnosis or 0 for row in rows])
    seen = np.select([codes == 1, codes == 2, codes == 3], [1, 4, 0], 2)
    malignant = np.where(codes == 1, 0.6, 0.4)  # a pathology head that is wrong throughout
    made = replace(
        made,
        label_set=LABEL_SETS["binary"],
        probabilities={
            "malignancy": np.eye(5)[seen],
            "pathology": np.stack([1 - malignant, malignant], axis=1),
        },
    )
    found = diagnosis_aucs(made.pooled("nodule"))
    values = {name: {by: of.value for by, of in aucs.items()} for name, aucs in found.items()}
    assert values["primary"] == {"level": 1.0, "readers": 1.0, "pathology": 0.0}
    assert values["metastatic"] == {"level": 0.0, "readers": 1.0, "pathology": 0.0}
    both = found["malignant"]["level"]
    apart = found["primary"]["level"], found["metastatic"]["level"]
    assert both.malignant == sum(of.malignant or 0 for of in apart)
    assert [both.benign] * 2 == [of.benign for of in apart]


@pytest.mark.lidc
def test_real_readers_agree_as_measured(perfect: Make, lidc32: Path) -> None:
    made = perfect(list(read_manifest(lidc32).rows)).pooled("nodule")
    found, aucs = compare_readers(made), diagnosis_aucs(made)
    measured = {"accuracy": 0.420, "within_one": 0.840, "quadratic_kappa": 0.531}
    for name, value in measured.items():
        assert found.reader[name].value == pytest.approx(value, abs=1e-3)
    assert aucs["malignant"]["readers"].value == pytest.approx(0.681, abs=1e-3)
