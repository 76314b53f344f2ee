"""What a crop looks like, on hand-drawn slices."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess.crop import (
    crop_context,
    crop_nodule,
    cut,
    make_crop,
    middle_of,
    nodule_pixels,
    rectangle,
)
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess

DARK, BRIGHT = 20, 130
PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0012")


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


def test_a_nodule_that_is_shrunk_is_averaged() -> None:
    gray = np.full((128, 128), DARK, np.uint8)
    gray[1:-1, 1:-1] = 120
    gray[1:-1, 4:-4:4] = 140  # a column of four
    crop, scale = crop_nodule(gray, np.ones((128, 128), bool))
    assert scale == 0.25 and (crop[1:-1, 1:-1] == 125).all()


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


def test_of_a_nodule_of_one_pixel_beside_dark_ones_that_one_stays() -> None:
    gray = np.full((4, 5), DARK, np.uint8)
    gray[1, 2] = BRIGHT
    assert np.argwhere(nodule_pixels(gray)).tolist() == [[1, 2]]


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


# The rule "context".


def test_by_context_a_pixel_is_a_millimetre_and_the_surroundings_stay() -> None:
    gray, mask = np.full((200, 200), DARK, np.uint8), np.zeros((200, 200), bool)
    gray[90:110, 40:180] = BRIGHT  # a band of 10 mm at 0.5 mm a pixel
    mask[90:110, 90:110] = True
    crop, scale = make_crop(gray, mask, (0.5, 0.5), "context")
    assert scale == 1.0 and crop.shape == (32, 32)
    assert (crop[11:21] == BRIGHT).all() and (crop[:11] == DARK).all() and (crop[21:] == DARK).all()


def test_by_context_pixels_are_averaged() -> None:
    gray, mask = np.zeros((200, 200), np.uint8), np.zeros((200, 200), bool)
    gray[::2, ::2] = 200
    gray[:, 100:] = 0
    gray[::4, 100::4] = 160
    mask[100, 100] = True
    crop, _ = make_crop(gray, mask, (0.5, 0.5), "context")
    assert (crop[:, :16] == 50).all()
    crop, _ = make_crop(gray, mask, (0.25, 0.25), "context")
    assert (crop[:, 16:] == 10).all()


def test_by_context_oblong_pixels_become_square() -> None:
    gray, mask = np.full((100, 100), DARK, np.uint8), np.zeros((100, 100), bool)
    gray[40:60, 45:55] = BRIGHT  # 20 x 0.5 mm by 10 x 1 mm
    mask[40:60, 45:55] = True
    crop, _ = make_crop(gray, mask, (0.5, 1.0), "context")
    rows, columns = np.nonzero(crop > (DARK + BRIGHT) // 2)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (10, 10)


def test_by_context_what_lies_outside_the_slice_is_air() -> None:
    gray, mask = np.full((64, 64), BRIGHT, np.uint8), np.zeros((64, 64), bool)
    mask[0, 63] = True
    crop, _ = make_crop(gray, mask, (1.0, 1.0), "context", air=7)
    assert (crop[:16] == 7).all() and (crop[:, 17:] == 7).all()
    assert (crop[16:, :16] == BRIGHT).all()
    for black in (
        make_crop(gray, mask, (1.0, 1.0), "context")[0],
        crop_context(gray, (0, 63), (1.0, 1.0)),
    ):
        assert np.array_equal(black, np.where(crop == 7, 0, crop))


@pytest.mark.parametrize("y", [-9, -3, -1, 0, 1, 4, 7, 12])
@pytest.mark.parametrize("x", [-9, -4, -1, 0, 1, 5, 9, 12])
def test_a_window_over_the_edge_is_that_of_a_larger_image(x: int, y: int) -> None:
    image = np.arange(1, 8 * 10 + 1).reshape(8, 10)
    larger = np.pad(image, 20)
    assert np.array_equal(cut(image, (x, y), (3, 4)), larger[20 + y : 23 + y, 20 + x : 24 + x])


def test_the_rule_paper_is_what_crop_nodule_does() -> None:
    by_name = make_crop(drawn(62, 30), outlined(62, 30), (0.5, 0.5), "paper")
    crop, scale = crop_nodule(drawn(62, 30), outlined(62, 30))
    assert np.array_equal(by_name[0], crop) and by_name[1] == scale == 0.5


def test_by_context_a_point_gives_the_crop_of_an_outline_about_it() -> None:
    gray = np.random.default_rng(0).integers(0, 256, (120, 120), dtype=np.uint8)
    outline, point = np.zeros((120, 120), bool), np.zeros((120, 120), bool)
    outline[50:61, 40:55] = True
    point[middle_of(outline)] = True
    crops = [make_crop(gray, mask, (0.7, 0.7), "context")[0] for mask in (outline, point)]
    assert np.array_equal(*crops)


def test_a_rule_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LidcError, match="expected paper or context, found 'papr'"):
        make_crop(np.zeros((9, 9), np.uint8), np.ones((9, 9), bool), (1.0, 1.0), "papr")


@pytest.mark.lidc
def test_context_crops_of_the_scans_are_those_of_lidc32_context(
    lidc_dicom: Path, lidc_folder: Path, tmp_path: Path
) -> None:
    """Whose HU were recovered from 8-bit pictures, to within 4 HU a slice."""
    preprocess(lidc_dicom, tmp_path / "ours", crops=CropSettings("context"))
    ours = {(r.patient_id, r.nodule, r.z_mm): r for r in read_manifest(tmp_path / "ours").rows}
    with zipfile.ZipFile(lidc_folder / "lidc32-context.zip") as archive:
        text = archive.read("manifest.csv").decode()
        rows = [r for r in csv.DictReader(text.splitlines()) if r["patient_id"] in PATIENTS]
        apart = []
        for row in rows:
            mine = ours[row["patient_id"], int(row["nodule"]), float(row["z_mm"])]
            one = cv2.imread(str(tmp_path / "ours" / mine.image), cv2.IMREAD_UNCHANGED)
            data = np.frombuffer(archive.read(row["image"]), np.uint8)
            apart.append(np.abs(one.astype(int) - cv2.imdecode(data, cv2.IMREAD_UNCHANGED)))
    assert len(apart) == 43
    assert np.median(apart) <= 1
    assert np.percentile(apart, 99) <= 5
