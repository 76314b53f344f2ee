"""A region is measured in mm, and its place is where the scanner has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from lungdx_paddle.lidc import Series, find_scans, find_series
from lungdx_paddle.lidc.masks import Area
from lungdx_paddle.lidc.regions import Region, area_of, patient_mm, pixel_at, region_of
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A phantom patient of 6 slices of 96x96 pixels."""
    folder = tmp_path_factory.mktemp("scan")
    write_phantom(folder, 1, jobs=1, settings=PhantomSettings(rows=96, slices=6, nodules=(1, 1)))
    return folder


@pytest.fixture(scope="module")
def series(folder: Path) -> Series:
    return find_series(folder)[0][0]


def box(series: Series, *slices: int) -> Region:
    """3 rows and 7 columns from row 10 and column 20 of some slices."""
    areas = {index: Area((20, 10), np.ones((3, 7), bool)) for index in slices}
    return Region(series, 0, areas, "box")


def test_the_middle_of_a_region_is_where_the_scanner_has_it(series: Series) -> None:
    region = box(series, 1, 2, 3)
    slice_ = series.slices[2]
    row_mm, column_mm = slice_.pixel_spacing_mm
    x, y, z = slice_.position_mm
    assert region.place_px == (23, 11, 2)
    assert region.place_mm == pytest.approx([x + 23 * column_mm, y + 11 * row_mm, z], abs=1e-6)


def test_a_region_is_as_large_as_its_pixels(series: Series) -> None:
    region = box(series, 1, 2)
    step_mm, row_mm, column_mm = series.spacing_zyx_mm
    assert region.volume_mm3 == pytest.approx(2 * 21 * step_mm * row_mm * column_mm)
    assert region.diameter_mm == pytest.approx((np.hypot(6, 2) + 1) * row_mm)
    (outline,) = region.outlines(1)
    assert outline.min(axis=0).tolist() == [20, 10] and outline.max(axis=0).tolist() == [26, 12]
    assert region.outlines(4) == [] and not region.mask(4).any()
    assert Region(series, 0, {}, "point").volume_mm3 == 0 == Region(series, 0, {}, "x").diameter_mm


def test_a_place_and_its_pixel_are_each_others_inverse(folder: Path, tmp_path: Path) -> None:
    """Also where the patient lies on the face, and where the picture is mirrored."""
    for cosines in ((1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, -1, 0), (-1, 0, 0, 0, 1, 0)):
        for path in folder.rglob("*.dcm"):
            header = pydicom.dcmread(path)
            header.ImageOrientationPatient = list(cosines)
            header.save_as(tmp_path / path.name)
        (series,), _ = find_series(tmp_path)
        for x, y, index in ((3.5, 40.25, 2), (0, 0, 0), (95, 10, 5)):
            (place,) = patient_mm(series.slices[index], np.array([[x, y]]))
            assert pixel_at(series, tuple(place)) == pytest.approx((x, y, index))


def test_an_outlined_nodule_is_what_most_readers_of_each_slice_enclosed(folder: Path) -> None:
    scan = find_scans(folder)[0]
    nodule = scan.nodules[0]
    region = region_of(scan.series, nodule)
    assert list(region.areas) == sorted(region.areas) != []
    for index in region.areas:
        uid = scan.series.sop_uids[index]
        assert (region.mask(index) == nodule.majority_mask(uid, (96, 96))).all()
    assert region.about["diameter_mm"] == round(nodule.diameter_mm, 1)


def test_an_area_is_the_mask_within_its_rectangle() -> None:
    mask = np.zeros((9, 9), bool)
    assert area_of(mask) is None
    mask[2, 3] = mask[5, 8] = True
    area = area_of(mask)
    assert area is not None and area.corner_xy == (3, 2) and area.pixels.shape == (4, 6)
    assert (area.mask((9, 9)) == mask).all()
