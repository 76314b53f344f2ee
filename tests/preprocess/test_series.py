"""What is doubtful about the pixels of a series' crops is told with the crops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Scan, find_scans
from lungdx_paddle.preprocess.series import crop_series

WINDOW = (20.0, 2040.0)


@pytest.fixture
def changed(tmp_path: Path, add_series: Callable[..., Path]) -> Callable[..., Scan]:
    """A function that makes a series whose slices have other attributes; None: without."""

    def make(marked: tuple[int, ...] = (1, 2, 3), **changes: Any) -> Scan:
        folder = add_series(tmp_path / "lidc", marked=marked)
        for path in folder.glob("*.dcm"):
            header = pydicom.dcmread(path)
            for name, value in changes.items():
                delattr(header, name) if value is None else setattr(header, name, value)
            header.save_as(path)
        (scan,) = find_scans(folder)
        return scan

    return make


@pytest.mark.parametrize("rule", ["paper", "context"])
def test_a_usual_series_has_no_warning(changed: Callable[..., Scan], rule: str) -> None:
    found = crop_series(changed(), WINDOW, rule)
    assert (len(found.crops), found.warnings) == (3, ())


def test_values_that_lack_air_are_told_with_the_darkest(changed: Callable[..., Scan]) -> None:
    found = crop_series(changed(RescaleIntercept=0), WINDOW)
    assert any("(the darkest value is 174): values may be no HU" in w for w in found.warnings)


def test_values_that_lack_air_and_rescale_are_refused(changed: Callable[..., Scan]) -> None:
    scan = changed(RescaleIntercept=None, RescaleSlope=None)
    with pytest.raises(LidcError, match=r"values in HU.*value is 174\), and no RescaleIntercept"):
        crop_series(scan, WINDOW)


def test_one_missing_rescale_is_not_hidden_by_the_air_of_others(
    changed: Callable[..., Scan], tmp_path: Path
) -> None:
    scan = changed()
    path = next((tmp_path / "lidc").rglob("000002.dcm"))
    header = pydicom.dcmread(path)
    del header.RescaleIntercept
    header.save_as(path)
    (scan,) = find_scans(tmp_path / "lidc")
    with pytest.raises(LidcError, match="none in 1 of 1 slice read .the darkest value is 174"):
        crop_series(scan, WINDOW)


def test_pixels_that_are_no_squares_are_told_where_crops_are_squeezed(
    changed: Callable[..., Scan],
) -> None:
    scan = changed(PixelSpacing=["0.7", "1.4"])
    (warning,) = crop_series(scan, WINDOW, "paper").warnings
    assert warning.startswith("pixels of 0.7 mm between rows and 1.4 mm between columns: ")
    assert crop_series(scan, WINDOW, "context").warnings == ()


def test_crops_of_the_context_rule_are_a_millimetre_a_pixel_along_both_axes(
    changed: Callable[..., Scan],
) -> None:
    """The nodule has 13 pixels each way: 9 mm from top to bottom, 18 mm from left to right."""
    scan = changed(PixelSpacing=["0.7", "1.4"])
    image = crop_series(scan, WINDOW, "context").crops[1].image
    nodule = image[4:-4, 4:-4] > 64  # without the frame of tissue
    assert nodule.any(axis=1).sum() == pytest.approx(9.1, abs=1.1)
    assert nodule.any(axis=0).sum() == pytest.approx(18.2, abs=1.1)


def test_marks_that_lie_outside_the_lung_are_told(
    changed: Callable[..., Scan], tmp_path: Path
) -> None:
    changed()
    for path in (tmp_path / "lidc").rglob("*.dcm"):
        header = pydicom.dcmread(path)
        pixels = header.pixel_array.copy()
        pixels[4:60, 15:60] = 1064  # no lung on the side of the marks
        header.PixelData = pixels.tobytes()
        header.save_as(path)
    (scan,) = find_scans(tmp_path / "lidc")
    assert crop_series(scan, WINDOW).warnings == (
        "only 0 of 3 crops lie in or at the lung: the marks may not belong to these pixels",
    )
