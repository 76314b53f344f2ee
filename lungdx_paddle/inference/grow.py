"""A point in a CT -> the nodule around it in three dimensions, and what is doubtful about it.

Rays go out from the nodule's middle in all directions, each to where its HU fall below a
threshold between nodule and lung.  A nodule is about round: a ray that goes on much further than
most runs in chest wall, mediastinum or a vessel, and is cut off where most others end.  How many
do so, and what lies behind the ends, separates nodules from what is none.

The constants were chosen on every fifth of 842 nodules of LIDC-IDRI; how well it does on all of
them and on points that are no nodule is measured by ``experiments/clicks.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from lungdx_paddle.preprocess.window import LUNG_HU

FARTHEST_MM = 22.0
"""Length of a ray: masses of up to 44 mm are held whole."""

STEP_MM = 0.4
"""Between two samples of a ray: half a pixel."""

REACH_MM = 26.0
"""How far about a point the volume is looked at: a ray, a moved middle and what lies behind."""

EDGE_PART = 0.25
"""The threshold lies by this part of the way from lung to the nodule's core: readers outline the
outermost pixels that are a little denser than lung.  Half of the way gives areas a third too
small."""

THRESHOLD_HU = (-780.0, -500.0)
"""Limits of the threshold: of faint ground glass, and of calcium."""

CORE_MM, CORE_PERCENTILE = 1.5, 70
"""What is taken as the nodule's core: the denser part of the ball of this radius."""

USUAL_PERCENTILE = 60
"""Of the lengths of the rays that end: taken as the nodule's usual radius."""

FAR_BEYOND = 1.7
"""A ray of so many usual radii goes on in something else."""

NEIGHBOURS_DEGREES, STICKS_OUT = 35.0, 1.3
"""A ray is at most so many times as long as the median of those about it: vessels are thin."""

MOVES_MM = 1.5
"""A click is a little off the middle: the middle is looked for at the point, and so far from it
in six directions and towards the densest place."""

MOST_MOVES = 8
"""Then the middle of what was found is tried, as long as the nodule looks rounder from there."""

NO_TISSUE_HU = -700.0
"""A core below this is lung or air; 99 % of 842 nodules have more than -615 HU."""

DARKER_THAN_LUNG_HU = -960.0
"""Nothing in a chest but airways and bullae is below this; all around the patient is."""

LUNG_BEHIND_HU = -600.0
"""Behind a nodule's edge lies lung, with some of what blurs into it."""

LUNG_AROUND = 0.25
"""The part of a nodule's sides on which lung is at least."""

GOES_ON = 0.15
"""The part of a nodule's sides that may go on in something else without a doubt."""

GOES_THROUGH = 0.04
"""The part of a nodule's sides that may go on while the opposite side does so too."""

UNEVEN = 0.5
"""Of :attr:`_Rays.unevenness`: 97 % of nodules have less, six in ten points on vessels more."""

CLEAR_EDGE_HU = 150.0
"""By how much HU fall at the edge at least."""

MASS_MM = 30.0
"""A nodule is at most so wide, by definition (Hansell et al. 2008, Fleischner Society glossary)."""

AWAY_MM = 2.0
"""A point that is further from the nodule taken is not meant for it; a click is 1 to 2 mm off."""

_COUNT = 300
_TURN = np.pi * (1 + np.sqrt(5)) * (np.arange(_COUNT) + 0.5)
_TILT = np.arccos(1 - 2 * (np.arange(_COUNT) + 0.5) / _COUNT)
DIRECTIONS = np.stack(
    [np.cos(_TILT), np.sin(_TURN) * np.sin(_TILT), np.cos(_TURN) * np.sin(_TILT)], axis=1
)
"""(rays, 3) unit vectors z, y, x, evenly over the ball (a Fibonacci lattice)."""
_TREE = cKDTree(DIRECTIONS)
_OPPOSITE = _TREE.query(-DIRECTIONS)[1]
_NEIGHBOURS = _TREE.query_ball_point(DIRECTIONS, 2 * np.sin(np.radians(NEIGHBOURS_DEGREES) / 2))


@dataclass(frozen=True, eq=False)
class Grown:
    """A nodule's voxels, and what is doubtful about them."""

    mask: np.ndarray
    """(slices, rows, columns) bool, as the volume; empty where nothing is denser than lung."""
    distance_mm: float
    """From the point to the nearest of its voxels; 0 inside, and where there is none."""
    doubts: tuple[str, ...]
    """Sentences."""


@dataclass(frozen=True, eq=False)
class _Rays:
    """What the rays from a middle meet; those that leave the volume say nothing."""

    middle: np.ndarray
    """(3,) z, y, x in voxels."""
    core_hu: float
    threshold_hu: float
    length_mm: np.ndarray
    """(rays,) to where each falls below the threshold, or leaves the volume."""
    ends: np.ndarray
    """(rays,) bool: whether it falls below the threshold."""
    leaves: np.ndarray
    """(rays,) bool: whether it leaves the volume before."""
    fall_hu: np.ndarray
    """(rays,) from 1.2 mm before its end to 1.2 mm behind it."""
    behind_hu: np.ndarray
    """(rays,) mean of 0.8 to 2 mm behind its end."""

    @property
    def usual_mm(self) -> float:
        """The nodule's usual radius."""
        ending = self.length_mm[self.ends]
        return float(np.percentile(ending, USUAL_PERCENTILE)) if len(ending) else FARTHEST_MM

    @property
    def go_on(self) -> np.ndarray:
        """(rays,) bool: which run on in something else."""
        endless = ~self.ends & ~self.leaves
        return np.asarray(endless | (self.length_mm > FAR_BEYOND * self.usual_mm))

    @property
    def unevenness(self) -> float:
        """0 of a ball seen from its middle; the less, the better the middle."""
        if self.core_hu < NO_TISSUE_HU or self.usual_mm <= 0 or self.leaves.all():
            return np.inf
        lengths = np.minimum(self.length_mm, FAR_BEYOND * self.usual_mm) / self.usual_mm
        return float(self.go_on.mean() + lengths[~self.leaves].std())

    def part(self, rays: np.ndarray) -> float:
        """The part of the rays that stay in the volume which (rays,) bool names."""
        return float(rays[~self.leaves].mean()) if not self.leaves.all() else 0.0


def grow(
    volume_hu: np.ndarray,
    point_zyx: tuple[float, float, float],
    spacing_zyx_mm: tuple[float, float, float],
) -> Grown:
    """The nodule around a point of a CT.

    Args:
        volume_hu: (slices, rows, columns) HU, at least of those slices within
            :data:`REACH_MM` of the point that there are.
        point_zyx: slice, row and column, from 0.
        spacing_zyx_mm: distance of the slices, of the rows, of the columns.

    Returns:
        The nodule's voxels; none where nothing is denser than lung, and why.
    """
    spacing_mm = np.array(spacing_zyx_mm)
    point = np.array(point_zyx, float)
    reach = np.ceil(REACH_MM / spacing_mm).astype(int)
    first = np.maximum(0, np.rint(point).astype(int) - reach)
    part = tuple(map(slice, first, np.rint(point).astype(int) + reach + 1))
    # The outermost slices are as thick as the others: a volume may be a single slice.
    hu = np.pad(volume_hu[part], ((1, 1), (0, 0), (0, 0)), mode="edge")
    middles = _possible_middles(hu, point - first + (1, 0, 0), spacing_mm)
    rays = min((_cast(hu, m, spacing_mm) for m in middles), key=lambda rays: rays.unevenness)
    mask = np.zeros(volume_hu.shape, bool)
    if np.isfinite(rays.unevenness):
        filled = _filled(hu, rays, spacing_mm)
        for _ in range(MOST_MOVES):  # a large mass may be pointed at far from its middle
            if not filled.any():
                break
            moved = _cast(hu, np.array(ndimage.center_of_mass(filled)), spacing_mm)
            if moved.unevenness >= rays.unevenness:
                break
            rays, filled = moved, _filled(hu, moved, spacing_mm)
        mask[part] = filled[1:-1]
    if not mask.any():
        what = "air" if rays.core_hu < DARKER_THAN_LUNG_HU else "lung or air"
        here = f"nothing denser than lung at the point ({rays.core_hu:.0f} HU: {what})"
        return Grown(mask, 0.0, (f"{here}: no nodule",))
    away_mm = np.linalg.norm((np.argwhere(mask) - point) * spacing_mm, axis=1).min()
    distance_mm = max(0.0, float(away_mm) - float(spacing_mm.max()) / 2)
    return Grown(mask, distance_mm, tuple(_doubts(rays, mask[part], spacing_mm, distance_mm)))


def _possible_middles(hu: np.ndarray, point: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """(n, 3) places, in voxels, that may be the middle of the nodule that a point means."""
    around = np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)]) * MOVES_MM
    reach = np.ceil((MOVES_MM + 4.5) / spacing_mm).astype(int)  # and 4 deviations of the Gaussian
    first = np.maximum(0, np.rint(point).astype(int) - reach)
    part = hu[tuple(map(slice, first, np.rint(point).astype(int) + reach + 1))]
    near = _away_mm(part.shape, point - first, spacing_mm) <= MOVES_MM
    smooth = ndimage.gaussian_filter(np.clip(part, -1000, 200).astype(np.float32), 1 / spacing_mm)
    densest = first + np.unravel_index(np.where(near, smooth, -np.inf).argmax(), part.shape)
    middles = np.concatenate([point + around / spacing_mm, [densest]])
    return np.clip(middles, 0, np.array(hu.shape) - 1)


def _away_mm(shape: tuple[int, ...], place: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """(slices, rows, columns) distance of each voxel from a place in voxels."""
    along = (((np.arange(n) - p) * mm) ** 2 for n, p, mm in zip(shape, place, spacing_mm))
    z, y, x = np.ix_(*along)
    return np.asarray(np.sqrt(z + y + x))


def _cast(hu: np.ndarray, middle: np.ndarray, spacing_mm: np.ndarray) -> _Rays:
    """Follow the rays from a middle."""
    steps_mm = np.arange(0.0, FARTHEST_MM + 2 * MOVES_MM, STEP_MM)
    places = middle[:, None, None] + DIRECTIONS.T[:, :, None] * steps_mm / spacing_mm[:, None, None]
    values = ndimage.map_coordinates(hu, places, np.float32, order=1, cval=np.nan)
    core_hu = float(np.nanpercentile(values[:, steps_mm <= CORE_MM], CORE_PERCENTILE))
    threshold_hu = float(np.clip(LUNG_HU + EDGE_PART * (core_hu - LUNG_HU), *THRESHOLD_HU))
    inner = values[:, steps_mm < FARTHEST_MM]
    stops = (inner < threshold_hu) | np.isnan(inner)
    end = np.where(stops.any(axis=1), stops.argmax(axis=1), stops.shape[1])
    about = np.clip(end[:, None] + np.arange(-3, 6), 0, len(steps_mm) - 1)
    about_end = np.take_along_axis(values, about, axis=1)  # from 1.2 mm before to 2 mm behind
    leaves = np.isnan(about_end[:, 3])
    behind_hu = np.nan_to_num(about_end[:, 5:], nan=LUNG_HU).mean(axis=1)
    return _Rays(
        middle,
        core_hu,
        threshold_hu,
        length_mm=np.maximum(0.0, end * STEP_MM - STEP_MM / 2),
        ends=stops.any(axis=1) & ~leaves,
        leaves=leaves,
        fall_hu=about_end[:, 0] - np.nan_to_num(about_end[:, 6], nan=LUNG_HU),
        behind_hu=behind_hu,
    )


def _filled(hu: np.ndarray, rays: _Rays, spacing_mm: np.ndarray) -> np.ndarray:
    """The voxels within the rays that are denser than the threshold: the largest piece, whole."""
    radius_mm = np.where(rays.go_on | rays.leaves, rays.usual_mm, rays.length_mm)
    about = np.array([np.median(radius_mm[near]) for near in _NEIGHBOURS])
    radius_mm = np.minimum(radius_mm, STICKS_OUT * about)
    away_mm = _away_mm(hu.shape, rays.middle, spacing_mm)
    inside = (away_mm <= radius_mm.max() + STEP_MM) & (hu >= rays.threshold_hu)
    _, ray = _TREE.query((np.argwhere(inside) - rays.middle) * spacing_mm)
    inside[inside] = away_mm[inside] <= radius_mm[ray] + STEP_MM / 2
    pieces, count = ndimage.label(inside)
    if count > 1:
        sizes = np.bincount(pieces.ravel())
        inside = pieces == 1 + sizes[1:].argmax()
    return np.asarray(ndimage.binary_fill_holes(inside))


def _doubts(rays: _Rays, mask: np.ndarray, spacing_mm: np.ndarray, distance_mm: float) -> list[str]:
    """What speaks against a nodule at the point, or against its outline."""
    doubts = []
    lung = rays.part(
        rays.ends & (rays.behind_hu < LUNG_BEHIND_HU) & (rays.behind_hu > DARKER_THAN_LUNG_HU)
    )
    goes_on = rays.part(rays.go_on)
    through = rays.part(rays.go_on & rays.go_on[_OPPOSITE])
    if lung < LUNG_AROUND:
        doubts.append(
            f"lung on {lung:.0%} of its sides only: chest wall, mediastinum or another organ, "
            "and no nodule in lung"
        )
    elif through > GOES_THROUGH:
        doubts.append("it goes on in two opposite directions, as vessels do")
    elif goes_on > GOES_ON:
        doubts.append(
            f"it goes on in chest wall or a vessel on {goes_on:.0%} of its sides, and was cut "
            "off there"
        )
    elif rays.unevenness > UNEVEN:
        doubts.append("it is not round as nodules are: perhaps a vessel")
    fall_hu = float(np.median(rays.fall_hu[rays.ends])) if rays.ends.any() else 0.0
    if fall_hu < CLEAR_EDGE_HU:
        doubts.append(f"no clear edge: its HU fall by {fall_hu:.0f} within 2.4 mm")
    extent_mm = float(max(np.ptp(np.argwhere(mask) * spacing_mm, axis=0) + spacing_mm))
    if extent_mm > MASS_MM:
        doubts.append(f"{extent_mm:.0f} mm wide: a mass, or no nodule at all")
    if distance_mm > AWAY_MM:
        doubts.append(f"nothing dense at the point: what was taken is {distance_mm:.1f} mm away")
    return doubts
