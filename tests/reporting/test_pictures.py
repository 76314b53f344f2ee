"""Pictures lie where the pixels lie, and show what they are made of."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pydicom
import pytest

from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.regions import Region, area_of
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.preprocess.window import apply_window
from lungdx_paddle.reporting.pictures import (
    LEAST_SIDE_MM,
    MARGIN_MM,
    close_up,
    edges,
    occlusion_png,
    slice_png,
    whole_slice,
)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    """A small CT, whose pixels are made oblong: 1.4 mm between rows, 0.7 between columns."""
    folder = tmp_path_factory.mktemp("ct")
    write_phantom(folder, 1, jobs=1, settings=PhantomSettings(rows=94, slices=6, nodules=(1, 1)))
    for path in folder.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PixelSpacing = [1.4, 0.7]
        header.save_as(path)
    return find_series(folder)[0][0]


def region(series: Series, rows: slice, columns: slice) -> Region:
    """A rectangle on the second slice."""
    mask = np.zeros(series.shape_zyx[1:], bool)
    mask[rows, columns] = True
    area = area_of(mask)
    assert area is not None
    return Region(series, 0, {1: area}, "box")


def decoded(encoded: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)


def test_a_slice_is_drawn_through_the_window() -> None:
    hu = np.arange(-1100.0, 1100.0, 10).reshape(10, 22)
    assert np.array_equal(decoded(slice_png(hu, (20, 2040))), apply_window(hu, 20, 2040))


def test_an_outline_runs_along_the_edges_of_the_pixels() -> None:
    mask = np.zeros((9, 12), bool)
    mask[2:5, 4:9] = mask[7, 0] = True
    boxes = sorted((*edge.min(axis=0), *edge.max(axis=0)) for edge in edges(mask))
    assert np.array(boxes) == pytest.approx(np.array([(0, 7, 1, 8), (4, 2, 9, 5)]), abs=0.13)
    assert edges(np.zeros((9, 12), bool)) == []


def test_a_close_up_is_about_the_nodule_and_in_mm(series: Series) -> None:
    nodule, hu = region(series, slice(40, 45), slice(30, 40)), series.slice_hu(1)
    near, whole = close_up(nodule, 1, hu, (20, 2040)), whole_slice(nodule, 1, hu, (20, 2040))
    assert (whole.width_mm, whole.height_mm) == pytest.approx((94 * 0.7, 94 * 1.4))
    assert np.array_equal(decoded(whole.image), apply_window(hu, 20, 2040))
    assert (near.width_mm, near.height_mm) == pytest.approx((LEAST_SIDE_MM,) * 2, abs=1.4)
    (outline,), (same,) = near.outlines_mm, whole.outlines_mm
    assert same.min(axis=0) == pytest.approx((30 * 0.7, 40 * 1.4), abs=0.2)
    assert same.max(axis=0) == pytest.approx((40 * 0.7, 45 * 1.4), abs=0.2)
    # It is the same outline, moved by where the close-up lies in the slice.
    assert same - outline == pytest.approx(np.tile(whole.frame_mm[:2], (len(same), 1)))
    assert near.frame_mm == pytest.approx((0, 0, near.width_mm, near.height_mm))
    assert whole.frame_mm[2:] == pytest.approx((near.width_mm, near.height_mm))
    middle = (outline.min(axis=0) + outline.max(axis=0)) / 2
    assert middle == pytest.approx((near.width_mm / 2, near.height_mm / 2), abs=1.4)


def test_every_slice_shows_the_same_part(series: Series) -> None:
    low, high = (
        region(series, slice(40, 45), slice(30, 40)),
        region(series, slice(60, 64), slice(9)),
    )
    both = replace(low, areas={**low.areas, 2: high.areas[1]})
    views = [close_up(both, index, series.slice_hu(index), (20, 2040)) for index in (1, 2)]
    assert views[0].width_mm == views[1].width_mm
    (first,), (second,) = (view.outlines_mm for view in views)
    assert second.min(axis=0) - first.min(axis=0) == pytest.approx((-30 * 0.7, 20 * 1.4))


def test_a_large_nodule_has_its_surroundings_too(series: Series) -> None:
    large = region(series, slice(10, 60), slice(10, 60))  # of 70 x 35 mm
    near = close_up(large, 1, series.slice_hu(1), (20, 2040))
    assert near.height_mm == pytest.approx(70 + 2 * MARGIN_MM, abs=1.4)


def test_what_lies_outside_the_slice_is_black_and_its_sides_are_named(series: Series) -> None:
    view = close_up(region(series, slice(1), slice(1)), 1, np.full((94, 94), 500.0), (20, 2040))
    assert decoded(view.image)[0, 0] == 0 and decoded(view.image)[-1, -1] > 0
    assert series.slices[1].orientation == (1, 0, 0, 0, 1, 0) and view.sides == ("R", "A")
    prone, lying = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)
    for cosines, sides in ((prone, ("L", "P")), (lying, ("A", "R"))):
        slices = tuple(replace(s, orientation=cosines) for s in series.slices)
        turned = region(replace(series, slices=slices), slice(1), slice(1))
        assert whole_slice(turned, 1, np.zeros((94, 94)), (20, 2040)).sides == sides


def test_what_speaks_for_an_answer_is_red_and_what_speaks_against_it_blue() -> None:
    map_ = np.zeros((32, 32))
    map_[:, :10], map_[:, 22:] = 0.5, -0.25
    image = decoded(occlusion_png(np.full((32, 32), 100, np.uint8), map_)).astype(int)
    (blue, _, red), (blue_against, _, red_against) = image[128, 8], image[128, -8]
    assert red > blue + 100 and blue_against > red_against + 50
    assert image[128, 128].tolist() == [100, 100, 100]
    faint = decoded(occlusion_png(np.full((32, 32), 100, np.uint8), map_ / 1000)).astype(int)
    assert np.abs(faint - 100).max() <= 2
