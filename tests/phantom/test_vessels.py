"""Vessels branch out of the hila, finer with each branching."""

from __future__ import annotations

import numpy as np

from lungdx_paddle.phantom.geometry import Grid
from lungdx_paddle.phantom.vessels import (
    BRANCHINGS,
    HILUM_XY_MM,
    TREES,
    Vessels,
    draw_vessels,
    grow_vessels,
)

GRID = Grid(rows=101, slices=1, pixel_mm=1.0, slice_mm=2.0)


def test_each_tree_starts_at_a_hilum_and_divides_in_two() -> None:
    vessels = grow_vessels(np.random.default_rng(0))
    assert len(vessels.radius) == 2 * TREES * (2**BRANCHINGS - 1)
    roots = vessels.start_xyz[np.abs(np.abs(vessels.start_xyz[:, 0]) - HILUM_XY_MM[0]) < 1e-9]
    assert len(roots) == 2 * TREES
    half = len(vessels.radius) // 2  # one side, generation after generation
    assert vessels.radius[:TREES].mean() > 3 * vessels.radius[half - TREES : half].mean()


def test_a_vessel_is_drawn_where_the_slice_cuts_it() -> None:
    across = Vessels(np.array([[-20.0, 10, 0]]), np.array([[40.0, 0, 0]]), np.array([2.0]))
    drawn = draw_vessels(across, 0.0, (1.0, 1.0), GRID)
    assert drawn[60, 35:66].min() > 0.9  # its length, 10 mm to the back
    assert drawn[60, :25].max() < 0.05 and drawn[:50].max() < 0.05
    assert not draw_vessels(across, 9.0, (1.0, 1.0), GRID).any()  # a slice beside it
