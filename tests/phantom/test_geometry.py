"""Shapes are millimetres deep, and the noise is as strong as is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.phantom.geometry import Canvas, Grid, add_noise, coarse_noise, cover

GRID = Grid(rows=101, slices=5, pixel_mm=1.0, slice_mm=2.5)


@pytest.fixture
def canvas() -> Canvas:
    hu = np.full((len(GRID.axis_mm),) * 2, -1000, np.float32)
    return Canvas(hu, GRID.axis_mm, GRID.axis_mm[:, np.newaxis], GRID.pixel_mm)


def test_the_origin_is_the_middle_of_the_field() -> None:
    assert GRID.shape_zyx == (5, 101, 101)
    assert GRID.axis_mm[50] == GRID.z_mm[2] == 0
    assert np.diff(GRID.axis_mm) == pytest.approx(1.0) and np.diff(GRID.z_mm) == pytest.approx(2.5)
    assert GRID.inside_circle[50, 50] and not GRID.inside_circle[0, 0]


def test_depth_is_zero_at_an_ellipses_border(canvas: Canvas) -> None:
    depth = canvas.ellipse((10, 0), (20, 30))
    assert depth[50, 60] == pytest.approx(20)  # at its centre
    for row, column in ((50, 80), (50, 40), (80, 60), (20, 60)):
        assert depth[row, column] == pytest.approx(0, abs=1e-5)
    assert depth[0, 0] < 0


def test_a_rounded_shape_lies_between_ellipse_and_rectangle(canvas: Canvas) -> None:
    ellipse, rounded = (shape((0, 0), (40, 20)) > 0 for shape in (canvas.ellipse, canvas.rounded))
    rectangle = (np.abs(canvas.x) < 40) & (np.abs(canvas.y) < 20)
    assert (ellipse <= rounded).all() and (rounded <= rectangle).all()
    assert ellipse.sum() < rounded.sum() < rectangle.sum()


def test_paint_fills_the_inside_and_half_of_the_border(canvas: Canvas) -> None:
    canvas.paint(canvas.ellipse((0, 0), (20, 20)), 40)
    assert canvas.hu[50, 50] == 40 and canvas.hu[0, 0] == -1000
    assert canvas.hu[50, 70] == pytest.approx(-480)
    assert cover(np.array([-9.0, 0.0, 9.0]), 1.0).tolist() == [0, 0.5, 1]


def test_a_cts_noise_is_as_strong_as_wanted_and_a_little_correlated() -> None:
    volume = np.zeros(GRID.shape_zyx, np.float32)
    add_noise(volume, 25, np.random.default_rng(0))
    assert volume.std(axis=(1, 2)) == pytest.approx(25, rel=1e-3)
    neighbours = np.corrcoef(volume[:, :, 1:].ravel(), volume[:, :, :-1].ravel())[0, 1]
    slices = np.corrcoef(volume[0].ravel(), volume[1].ravel())[0, 1]
    assert neighbours > 0.2 and abs(slices) < 0.1


def test_coarse_noise_changes_slowly() -> None:
    noise = coarse_noise((100, 100), 25, np.random.default_rng(0))
    assert noise.shape == (100, 100)
    assert np.abs(np.diff(noise, axis=1)).mean() < noise.std() / 5
