"""Voxel grid, shapes, canvas and noise that the phantom is drawn with.

x runs to the patient's left, y to the back, z to the head, as in DICOM; the origin is
the middle of the field.  A shape is a depth field: millimetres inside its border, negative
outside, exact at the border and roughly right elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Grid:
    """Where the voxels of one series lie.

    Attributes:
        rows: rows and columns of a slice.
        slices: number of slices.
        pixel_mm: in-plane spacing.
        slice_mm: spacing and thickness of the slices.
    """

    rows: int
    slices: int
    pixel_mm: float
    slice_mm: float

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """(slices, rows, columns)."""
        return self.slices, self.rows, self.rows

    @property
    def spacing_zyx_mm(self) -> np.ndarray:
        """(3,) spacing of slices, rows and columns."""
        return np.array([self.slice_mm, self.pixel_mm, self.pixel_mm])

    @property
    def axis_mm(self) -> np.ndarray:
        """(rows,) x of the columns, which is also y of the rows, 0 in the middle."""
        return ((np.arange(self.rows) - (self.rows - 1) / 2) * self.pixel_mm).astype(np.float32)

    @property
    def z_mm(self) -> np.ndarray:
        """(slices,) positions from the caudal end, 0 in the middle."""
        return ((np.arange(self.slices) - (self.slices - 1) / 2) * self.slice_mm).astype(np.float32)

    @property
    def inside_circle(self) -> np.ndarray:
        """(rows, columns) bool: the circle that the scanner reconstructs."""
        y, x = np.meshgrid(self.axis_mm, self.axis_mm, indexing="ij")
        return np.hypot(x, y) < self.rows * self.pixel_mm / 2


@dataclass(frozen=True)
class Canvas:
    """One slice in HU, and where its voxels lie.

    Attributes:
        hu: (rows, columns) float32, painted in place.
        x: (columns,) in the units of the shapes.
        y: (rows, 1) in the same.
        pixel_mm: width of a border's transition from inside to outside.
    """

    hu: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel_mm: float

    def paint(self, depth: np.ndarray, value_hu: float | np.ndarray, share: float = 1.0) -> None:
        """Fill the inside of a shape with ``share`` parts of ``value_hu``."""
        self.hu[:] += share * cover(depth, self.pixel_mm) * (value_hu - self.hu)

    def ellipse(self, centre_xy: tuple[float, float], half_xy: tuple[float, float]) -> np.ndarray:
        """Depth inside an ellipse."""
        u, v = (self.x - centre_xy[0]) / half_xy[0], (self.y - centre_xy[1]) / half_xy[1]
        return (1 - np.sqrt(u * u + v * v)) * min(half_xy)

    def rounded(self, centre_xy: tuple[float, float], half_xy: tuple[float, float]) -> np.ndarray:
        """Depth inside a shape between an ellipse and a rectangle: a trunk's outline."""
        power = 2.4
        u, v = (self.x - centre_xy[0]) / half_xy[0], (self.y - centre_xy[1]) / half_xy[1]
        radius = (np.abs(u) ** power + np.abs(v) ** power) ** (1 / power)
        return (1 - radius) * min(half_xy)


def cover(depth: np.ndarray, width_mm: float) -> np.ndarray:
    """The share of a voxel inside a border whose transition is ``width_mm`` wide."""
    return np.clip(depth / width_mm + 0.5, 0, 1)


def coarse_noise(shape: tuple[int, ...], cell_px: float, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) float32 smooth noise of deviation about 1, ``cell_px`` across."""
    small = [max(2, int(np.ceil(n / cell_px)) + 1) for n in shape]
    noise = rng.standard_normal(small, dtype=np.float32)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)


def add_noise(volume_hu: np.ndarray, sigma_hu: float, rng: np.random.Generator) -> None:
    """Add a CT's noise in place: normal, a little correlated within the slice.

    Args:
        volume_hu: (slices, rows, columns) float32.
        sigma_hu: standard deviation of the noise.
        rng: where the noise comes from.
    """
    blur_px = 0.6
    for image in volume_hu:
        noise = rng.standard_normal(image.shape, dtype=np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), blur_px)
        image += noise * np.float32(sigma_hu / noise.std())
