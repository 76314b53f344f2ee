"""The lungs of a whole series: what goes on from slice to slice is lung."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.phantom import true_lung, write_phantom
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume

Ellipse = Callable[[float, float, float, float], np.ndarray]
LUNG_HU = -800


@dataclass
class Drawn:
    """A series that was drawn rather than read."""

    volume_hu: np.ndarray
    spacing_zyx_mm: tuple[float, float, float] = (2.0, 1.0, 1.0)

    @property
    def shape_zyx(self) -> tuple[int, ...]:
        return self.volume_hu.shape

    @property
    def slices(self) -> tuple[Any, ...]:
        return tuple(self.volume_hu)

    def slice_hu(self, index: int) -> np.ndarray:
        return cast(np.ndarray, self.volume_hu[index])


def volume_of(slices: list[np.ndarray]) -> np.ndarray:
    return lung_volume(cast(Series, Drawn(np.stack(slices).astype(np.int16))))


@pytest.fixture
def body(ellipse: Ellipse) -> Callable[..., np.ndarray]:
    """A function of areas: a slice of a body with air of the lung's HU in them."""

    def draw(*areas: np.ndarray) -> np.ndarray:
        hu = np.full((256, 256), -1000, np.int16)
        hu[ellipse(128, 120, 115, 95)] = 40
        for area in areas:
            hu[area] = LUNG_HU
        return hu

    return draw


@pytest.fixture
def lungs(ellipse: Ellipse) -> np.ndarray:
    """Both lungs where they are widest."""
    area: np.ndarray = ellipse(65, 120, 40, 60) | ellipse(190, 120, 40, 60)
    return area


def test_a_tip_too_small_for_a_slice_alone_is_lung(
    body: Callable[..., np.ndarray], lungs: np.ndarray, ellipse: Ellipse
) -> None:
    base, tip = ellipse(60, 150, 20, 12), ellipse(58, 155, 9, 4)
    mask = volume_of([body(tip), body(base), body(lungs)])
    assert not lung_mask(body(tip), 1.0).any()
    assert mask[0][tip].mean() > 0.9 and not mask[0][~tip].any()
    assert mask[2][lungs].mean() > 0.98


def test_air_that_does_not_go_on_from_the_lung_is_none(
    body: Callable[..., np.ndarray], lungs: np.ndarray, ellipse: Ellipse
) -> None:
    gut, pocket = ellipse(128, 60, 12, 6), ellipse(128, 198, 40, 5)
    mask = volume_of([body(gut, pocket), body(lungs), body(lungs), body(gut, pocket)])
    assert lung_mask(body(gut, pocket), 1.0)[pocket].any()
    assert not mask[0].any() and not mask[3].any()


def test_a_bronchus_between_the_lungs_is_none_though_it_lies_on_lung(
    body: Callable[..., np.ndarray], lungs: np.ndarray, ellipse: Ellipse
) -> None:
    bronchus = ellipse(105, 120, 6, 6)
    narrow = lungs & ~ellipse(113, 120, 20, 14)
    mask = volume_of([body(lungs | bronchus), body(narrow, bronchus)])
    assert mask[0][bronchus].all()
    assert not mask[1][bronchus].any()
    assert mask[1][narrow].mean() > 0.98


def test_a_series_without_lung_has_an_empty_mask(body: Callable[..., np.ndarray]) -> None:
    assert not volume_of([body(), body()]).any()


def test_the_lungs_of_the_phantom_are_found(tmp_path: Path) -> None:
    write_phantom(tmp_path, patients=2, jobs=1)
    for patient, series in enumerate(find_series(tmp_path)[0]):
        mask, truth = lung_volume(series), true_lung(patient)
        dice = 2 * (mask & truth).sum() / (mask.sum() + truth.sum())
        assert mask.shape == truth.shape == series.shape_zyx
        assert dice > 0.98


@pytest.mark.lidc
def test_tips_and_what_is_none_in_real_series(lidc_dicom: Path) -> None:
    first, partial = find_series(lidc_dicom)[0]
    mask = lung_volume(first)
    assert mask[119, :, :256].sum() > 400, "the right apex"
    assert mask[22, 300:].sum() > 200, "the right recess, at the height of the kidneys"
    assert not mask[:20].any() and not mask[127:].any(), "belly and neck"
    back = lung_mask(partial.slice_hu(2), partial.spacing_zyx_mm[1])[440:]
    assert back.any() and not lung_volume(partial)[2, 440:].any(), "air under the back"
