"""Readers are compared once a nodule, with each other and with the diagnosis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.evaluation.readers import reader_agreement
from lungdx_paddle.manifest import ManifestRow, read_manifest


def test_a_reader_is_compared_with_the_median_of_the_others(crop_rows: list[ManifestRow]) -> None:
    # Of 1, 1, 1, 3 the last is two off the others' median 1; each 1 meets the median 1.
    rated = [replace(row, malignancy_ratings=(1, 1, 1, 3)) for row in crop_rows]
    assert reader_agreement(rated).accuracy.value == 0.75
    assert reader_agreement(rated).within_one.value == 0.75


def test_a_nodule_counts_once_however_many_crops_it_has(crop_rows: list[ManifestRow]) -> None:
    rated = [replace(row, malignancy_ratings=(1, 2) if row.nodule else (3, 3)) for row in crop_rows]
    once = list({row.nodule_key: row for row in rated}.values())
    assert reader_agreement(rated) == reader_agreement(once)


def test_without_ratings_each_number_says_why_there_is_none(crop_rows: list[ManifestRow]) -> None:
    found = reader_agreement([replace(row, malignancy_ratings=()) for row in crop_rows])
    assert (found.accuracy.value, found.accuracy.why) == (None, "no nodule has two ratings")
    assert found.diagnosis_auc.why == "an AUC needs both: 0 benign, 0 malignant"


@pytest.mark.lidc
def test_real_readers_agree_as_measured(lidc32: Path) -> None:
    found = reader_agreement(tuple(read_manifest(lidc32).rows))
    assert found.accuracy.value == pytest.approx(0.420, abs=1e-3)
    assert found.within_one.value == pytest.approx(0.840, abs=1e-3)
    assert found.quadratic_kappa.value == pytest.approx(0.531, abs=1e-3)
    assert found.diagnosis_auc.value == pytest.approx(0.681, abs=1e-3)
