"""What a crop looks like, on hand-drawn slices."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.preprocess.crop import crop_nodule, nodule_pixels, rectangle

DARK, BRIGHT = 20, 130


def drawn(rows: int, columns: int, side: int = 80) -> np.ndarray:
    """A slice with a bright rectangle at row 10, column 20."""
    gray = np.full((side, side), DARK, np.uint8)
    gray[10 : 10 + rows, 20 : 20 + columns] = BRIGHT
    return gray


def outlined(rows: int, columns: int, side: int = 80) -> np.ndarray:
    """The area of :func:`drawn` and one pixel around."""
    mask = np.zeros((side, side), bool)
    mask[9 : 11 + rows, 19 : 21 + columns] = True
    return mask


def test_the_nodule_is_centred_on_black() -> None:
    crop, scale = crop_nodule(drawn(6, 8), outlined(6, 8))
    wanted = np.zeros((32, 32), np.uint8)
    wanted[13:19, 12:20] = BRIGHT
    assert scale == 1.0
    assert np.array_equal(crop, wanted)


def test_a_nodule_of_32_pixels_is_not_shrunk() -> None:
    crop, scale = crop_nodule(drawn(30, 30), outlined(30, 30))
    assert scale == 1.0
    assert np.count_nonzero(crop) == 900


def test_a_large_nodule_is_shrunk_with_its_aspect() -> None:
    crop, scale = crop_nodule(drawn(62, 30), outlined(62, 30))
    assert scale == 0.5
    rows, columns = np.nonzero(crop)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (32, 16)


def test_a_very_thin_nodule_keeps_a_pixel() -> None:
    gray, mask = np.full((80, 80), BRIGHT, np.uint8), np.zeros((80, 80), bool)
    mask[5:75, 40] = True
    crop, scale = crop_nodule(gray, mask)
    assert scale == pytest.approx(32 / 70)
    assert np.count_nonzero(crop) == 32


def test_areas_under_10_pixels_go_and_those_of_10_stay() -> None:
    gray = np.full((12, 30), DARK, np.uint8)
    gray[1:11, 1:11] = BRIGHT
    gray[1:4, 20:23] = BRIGHT  # 9 pixels
    gray[6:8, 20:25] = BRIGHT  # 10 pixels
    pixels = nodule_pixels(gray)
    assert not pixels[1:4, 20:23].any()
    assert pixels[6:8, 20:25].all()
    assert pixels.sum() == 110


def test_pixels_that_touch_by_a_corner_are_one_area() -> None:
    gray = np.full((12, 12), DARK, np.uint8)
    gray[np.arange(10), np.arange(10)] = BRIGHT
    assert nodule_pixels(gray).sum() == 10


def test_of_a_nodule_under_10_pixels_the_largest_area_stays() -> None:
    gray = np.full((5, 8), DARK, np.uint8)
    gray[1:3, 1:4] = BRIGHT
    gray[4, 7] = BRIGHT
    assert np.argwhere(nodule_pixels(gray)).tolist() == [[r, c] for r in (1, 2) for c in (1, 2, 3)]


def test_a_single_pixel_is_a_crop_of_one_pixel() -> None:
    mask = np.zeros((40, 40), bool)
    mask[7, 9] = True
    crop, scale = crop_nodule(np.full((40, 40), 90, np.uint8), mask)
    assert scale == 1.0
    assert np.argwhere(crop).tolist() == [[15, 15]]


def test_a_nodule_at_the_edge_of_the_slice_is_cut_there() -> None:
    gray, mask = np.full((40, 40), DARK, np.uint8), np.zeros((40, 40), bool)
    gray[:4, :5] = BRIGHT
    mask[:6, :7] = True
    crop, _ = crop_nodule(gray, mask)
    assert np.count_nonzero(crop) == 20


def test_the_rectangle_runs_from_first_to_last_pixel() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2, 3] = mask[7, 11] = True
    assert rectangle(mask) == (slice(2, 8), slice(3, 12))


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(LidcError, match="at least one pixel, found none"):
        crop_nodule(np.zeros((40, 40), np.uint8), np.zeros((40, 40), bool))
