"""The lung mask holds where the paper's steps fail."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.lidc import find_annotations, find_series, group_readings
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.lungs.paper_steps import lung_steps

Ellipse = Callable[..., np.ndarray]

SPACING_MM = 1.2
"""Of the drawn chest, which is 264 mm wide."""


@pytest.fixture
def truth(ellipse: Ellipse) -> np.ndarray:
    """The two lungs of the drawn chest."""
    area: np.ndarray = ellipse(75, 120, 35, 50) | ellipse(180, 120, 35, 50)
    return area


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_the_lungs_are_found_and_nothing_else(chest_hu: np.ndarray, truth: np.ndarray) -> None:
    mask = lung_mask(chest_hu, SPACING_MM)
    assert mask.dtype == bool
    assert dice(mask, truth) > 0.99
    assert mask[120, 75], "the vessel belongs to the lung"
    assert not mask[80, 128], "the windpipe does not"


def test_a_nodule_at_the_wall_belongs_to_the_lung(
    chest_hu: np.ndarray, truth: np.ndarray, ellipse: Ellipse
) -> None:
    nodule = ellipse(46, 120, 8, 8) & truth
    chest_hu[nodule] = 30
    assert not lung_steps(chest_hu)["lung"][nodule].any()
    mask = lung_mask(chest_hu, SPACING_MM)
    assert mask[nodule].mean() > 0.85
    assert dice(mask, truth) > 0.99


def test_the_bay_of_the_heart_stays_outside(
    chest_hu: np.ndarray, truth: np.ndarray, ellipse: Ellipse
) -> None:
    heart = ellipse(140, 120, 18, 18)
    chest_hu[heart] = 40
    assert not lung_mask(chest_hu, SPACING_MM)[heart & ellipse(140, 120, 14, 14)].any()


def test_gas_is_no_lung(chest_hu: np.ndarray, truth: np.ndarray, ellipse: Ellipse) -> None:
    gut = ellipse(128, 170, 25, 15)
    chest_hu[gut] = -1000
    assert lung_steps(chest_hu)["lung"][gut].all()
    assert not lung_mask(chest_hu, SPACING_MM)[gut].any()
    assert dice(lung_mask(chest_hu, SPACING_MM), truth) > 0.99


def test_the_dome_of_the_liver_is_no_lung_but_a_nodule_is(
    chest_hu: np.ndarray, ellipse: Ellipse
) -> None:
    dome, nodule = ellipse(75, 110, 22, 22), ellipse(180, 110, 9, 9)
    chest_hu[dome | nodule] = 40
    assert lung_steps(chest_hu)["lung"][dome].all()
    mask = lung_mask(chest_hu, SPACING_MM)
    assert mask[dome].mean() < 0.1
    assert mask[nodule].all()


def test_lungs_that_nearly_touch_are_not_bridged(chest_hu: np.ndarray, ellipse: Ellipse) -> None:
    chest_hu[ellipse(128, 120, 16, 5)] = -850
    chest_hu[:, 126:130] = np.where(chest_hu[:, 126:130] == -850, 40, chest_hu[:, 126:130])
    chest_hu[ellipse(128, 80, 8, 8)] = 40
    assert not lung_mask(chest_hu, SPACING_MM)[120, 126:130].any()


@pytest.mark.parametrize("hu", [-1000, 40])
def test_a_slice_without_lung_has_an_empty_mask(hu: int) -> None:
    mask = lung_mask(np.full((100, 130), hu, np.int16), SPACING_MM)
    assert mask.shape == (100, 130)
    assert not mask.any()


@pytest.mark.lidc
def test_the_nodule_at_the_wall_of_the_first_patient(lidc_dicom: Path) -> None:
    folder = next(lidc_dicom.rglob("LIDC-IDRI-0001"))
    (series,), _ = find_series(folder)
    annotations, _ = find_annotations(folder)
    spacing_mm = series.spacing_zyx_mm[1]
    (nodule,) = group_readings(annotations[series.series_uid], spacing_mm)
    for sop_uid in nodule.sop_uids:
        index = series.index_of(sop_uid)
        assert index is not None
        mask = lung_mask(series.slice_hu(index), spacing_mm)
        assert mask[nodule.majority_mask(sop_uid, mask.shape)].mean() > 0.98
    assert not lung_mask(series.slice_hu(0), spacing_mm).any(), "gas in the gut"
