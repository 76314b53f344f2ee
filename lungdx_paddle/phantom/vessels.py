"""The phantom's pulmonary vessels: trees of straight segments, drawn slice by slice."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.phantom.geometry import Grid

TREES, BRANCHINGS = 11, 8
"""Trees that leave each hilum, and how often each divides in two."""

HILUM_XY_MM = (36.0, 8.0)
"""Where the left lung's vessels come from; the right lung's mirror it."""


@dataclass(frozen=True)
class Vessels:
    """Straight segments in standard millimetres.

    Attributes:
        start_xyz: (n, 3) where each begins.
        way_xyz: (n, 3) from there to its end.
        radius: (n,).
    """

    start_xyz: np.ndarray
    way_xyz: np.ndarray
    radius: np.ndarray


def grow_vessels(rng: np.random.Generator) -> Vessels:
    """Grow vessel trees from both hila, each branch finer and shorter than its parent."""
    starts, ways, radii = [], [], []
    for side in (-1, 1):
        tip = np.tile([side * HILUM_XY_MM[0], HILUM_XY_MM[1], 0.0], (TREES, 1))
        tip[:, 2] = rng.uniform(-25, 25, TREES)
        way = rng.normal(0, 0.8, tip.shape)
        way[:, 0] = side * rng.uniform(0.3, 1, TREES)
        radius, length = 2.7, 22.0
        for _ in range(BRANCHINGS):
            way /= np.linalg.norm(way, axis=1, keepdims=True)
            step = way * length * rng.uniform(0.6, 1.3, (len(tip), 1))
            starts.append(tip)
            ways.append(step)
            radii.append(radius * rng.uniform(0.75, 1.2, len(tip)))
            tip, way = np.repeat(tip + step, 2, axis=0), np.repeat(way, 2, axis=0)
            way = way + rng.normal(0, 0.38, way.shape)
            radius, length = radius * 0.78, length * 0.86
    return Vessels(np.concatenate(starts), np.concatenate(ways), np.concatenate(radii))


def draw_vessels(
    vessels: Vessels, z: float, stretch_xy: tuple[float, float], grid: Grid
) -> np.ndarray:
    """Rasterise the vessels on one slice.

    Args:
        vessels: the trees, in standard millimetres.
        z: the slice's position, in standard millimetres.
        stretch_xy: the patient's millimetres per standard one.
        grid: the voxels; one slice of them is drawn.

    Returns:
        (rows, columns) float32, 0 to 1: the share of a voxel that is vessel.
    """
    half = np.maximum(grid.slice_mm / stretch_xy[0] / 2, vessels.radius * 0.8)
    rise = vessels.way_xyz[:, 2]
    rise = np.where(np.abs(rise) < 1e-6, 1e-6, rise)
    cuts = (z + np.stack([-half, half]) - vessels.start_xyz[:, 2]) / rise
    cuts = np.sort(cuts, axis=0).clip(0, 1)
    here = np.flatnonzero(cuts[1] > cuts[0])
    here = here[np.argsort(vessels.radius[here], kind="stable")]  # wide ones over fine ones
    ends = vessels.start_xyz[here, None] + cuts[:, here].T[..., None] * vessels.way_xyz[here, None]
    ends_px = ends[..., :2] * stretch_xy / grid.pixel_mm + (grid.rows - 1) / 2
    widths_px = 2 * vessels.radius[here] * stretch_xy[0] / grid.pixel_mm
    image = np.zeros((grid.rows, grid.rows), np.uint8)
    sixteenths = np.round(ends_px * 16).astype(int)  # cv2.line's fixed point, shift 4
    for (a, b), width in zip(sixteenths.tolist(), widths_px.tolist()):
        gray = int(255 * min(1.0, width * 0.7))  # finer than a pixel: partial volume
        cv2.line(image, a, b, gray, max(1, int(width)), cv2.LINE_AA, 4)
    return cv2.GaussianBlur(image, (0, 0), 0.55).astype(np.float32) / 255
