"""Where a nodule is: a point in a CT, and the bright area nearest to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.locate import one_series, parse_point, pixels_at, place_mm
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two phantom patients of 6 slices of 96x96 pixels."""
    folder = tmp_path_factory.mktemp("scans")
    write_phantom(folder, 2, jobs=1, settings=PhantomSettings(rows=96, slices=6, nodules=(1, 1)))
    return folder


@pytest.fixture(scope="module")
def series(scans: Path) -> Series:
    return one_series(scans / "PHANTOM-0001")


def test_a_point_is_two_pixels_and_a_slice() -> None:
    assert parse_point("312,360.5,87") == (312.0, 360.5, 87)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,2,3", "1,2,3.5"])
def test_what_is_no_point_is_an_error_that_shows_the_format(text: str) -> None:
    with pytest.raises(ConfigError, match="expected x,y,slice_index.*--nodule 312,360,87"):
        parse_point(text)


def test_a_series_is_chosen_by_its_uid_or_because_it_is_alone(scans: Path, series: Series) -> None:
    assert one_series(scans, series.series_uid, "a.xml").patient_id == "PHANTOM-0001"
    with pytest.raises(LidcError, match=r"series 1\.2 that a\.xml describes, found 2 other series"):
        one_series(scans, "1.2", "a.xml")
    with pytest.raises(LidcError, match="one CT series, found 2 series"):
        one_series(scans)


def test_the_nearest_bright_area_is_the_nodule_also_at_the_edge() -> None:
    gray = np.full((64, 64), 20, np.uint8)
    gray[30:36, 30:36], gray[30:36, 44:48], gray[:5, :5] = 200, 200, 200
    for x, y, area in ((28, 33, 36), (46, 33, 24), (0, 0, 25)):
        mask = pixels_at(gray, x, y)
        assert mask.shape == gray.shape and mask.sum() == area
        assert (gray[mask] == 200).all()


def test_the_middle_of_a_mask_is_where_the_scanner_has_it(scans: Path, series: Series) -> None:
    (same,), _ = find_series(scans / "PHANTOM-0001")
    slice_ = same.slices[2]
    mask = np.zeros((96, 96), bool)
    mask[10:13, 20:23] = True
    row_mm, column_mm = slice_.pixel_spacing_mm
    x, y, z = slice_.position_mm
    assert place_mm(series, 2, mask) == pytest.approx(
        [x + 21 * column_mm, y + 11 * row_mm, z], abs=0.006
    )
