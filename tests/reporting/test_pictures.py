"""Pictures lie where the pixels lie, and show what they are made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.regions import Region, area_of
from lungdx_paddle.preprocess.window import apply_window
from lungdx_paddle.reporting.pictures import (
    LEAST_SIDE_MM,
    close_up,
    edges,
    occlusion_png,
    slice_png,
    whole_slice,
)


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


def test_a_close_up_is_about_the_nodule_and_in_mm(findings: list[Finding], series: Series) -> None:
    for finding in findings:
        region = finding.region
        assert region is not None
        hu = series.slice_hu(region.middle)
        near, whole = close_up(region, hu, (20, 2040)), whole_slice(region, hu, (20, 2040))
        _, row_mm, column_mm = series.spacing_zyx_mm
        assert (whole.height_mm, whole.width_mm) == (
            pytest.approx(hu.shape[0] * row_mm),
            pytest.approx(hu.shape[1] * column_mm),
        )
        assert np.array_equal(decoded(whole.image), apply_window(hu, 20, 2040))
        assert near.height_mm >= min(LEAST_SIDE_MM, near.width_mm) - row_mm
        points = np.concatenate(near.outlines_mm)
        assert (points > 0).all() and (points < (near.width_mm, near.height_mm)).all()
        # the same outline in both, apart by where the close-up lies in the slice
        apart = np.concatenate(whole.outlines_mm) - points
        assert apart == pytest.approx(np.tile(whole.frame_mm[:2], (len(apart), 1)))
        assert near.frame_mm[:2] == (0, 0)
        area_mm2 = sum(cv2.contourArea(p.astype(np.float32)) for p in near.outlines_mm)
        assert area_mm2 >= 0.8 * finding.about["area_mm2"]


def test_the_sides_of_the_patient_are_those_of_the_header(series: Series) -> None:
    mask = np.zeros(series.shape_zyx[1:], bool)
    mask[0, 0] = True  # at the edge: what lies outside the slice is black
    area = area_of(mask)
    assert area is not None
    region = Region(series, 0, {0: area}, "point")
    view = close_up(region, np.full(mask.shape, 500.0), (20, 2040))
    assert view.sides == ("R", "A") and series.slices[0].orientation[0] > 0
    assert decoded(view.image)[0, 0] == 0 and decoded(view.image)[-1, -1] > 0


def test_what_speaks_for_an_answer_is_red_and_what_speaks_against_it_blue() -> None:
    map_ = np.zeros((32, 32))
    map_[:, :10], map_[:, 22:] = 0.5, -0.25
    image = decoded(occlusion_png(np.full((32, 32), 100, np.uint8), map_)).astype(int)
    (blue, _, red), (blue_against, _, red_against) = image[128, 8], image[128, -8]
    assert red > blue + 100 and blue_against > red_against + 50
    assert image[128, 128].tolist() == [100, 100, 100]
    faint = decoded(occlusion_png(np.full((32, 32), 100, np.uint8), map_ / 1000)).astype(int)
    assert np.abs(faint - 100).max() <= 2
