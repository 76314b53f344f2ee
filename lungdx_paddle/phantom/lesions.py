"""The phantom's nodules: what they look like, where they lie, how they enter the volume.

Looks follow malignancy with wide overlap, as readers describe it in LIDC: likely benign
nodules are small, smooth and often calcified; likely malignant ones large, lobulated,
spiculated and blurred, some of them part solid.  The patient's disease shifts all of them
a little (:mod:`lungdx_paddle.phantom.diseases`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.phantom.chest import Chest
from lungdx_paddle.phantom.diseases import Disease
from lungdx_paddle.phantom.geometry import Grid, coarse_noise, cover

LEVELS = np.arange(1, 6)
LEVEL_WEIGHTS = np.array([0.18, 0.12, 0.50, 0.125, 0.075])
"""Share of nodules by malignancy: it gives LIDC's shares by crop (9, 7, 37, 26, 21 %),
as larger nodules show on more slices."""

DIAMETER_MM = np.array([7.0, 6.0, 8.2, 12.5, 19.0])
"""Median diameter by malignancy; DIAMETER_SPREAD is the deviation of its logarithm."""
DIAMETER_SPREAD = 0.14
DIAMETER_RANGE_MM = (4.2, 27.0)

CALCIFIED = np.array([0.9, 0.25, 0.03, 0.01, 0.0])
"""Share of nodules with calcium, by malignancy."""

CALCIUM_HU = {"solid": 420, "central": 600, "popcorn": 500}
"""Kinds of calcification, and how much each adds to the tissue."""

GAP_MM = 5.0
"""Two nodules' surfaces stay this far apart, so that readings of them are not confused."""

PLACES = {"free": (1.1, 99.0), "wall": (0.35, 0.8), "vessel": (0.9, 99.0)}
"""Least and largest distance of a centre from the lung's border, in radii."""
PLACE_WEIGHTS = (0.6, 0.25, 0.15)


@dataclass(frozen=True)
class Lesion:
    """One nodule's looks.

    Attributes:
        malignancy: 0.5 to 5.5, what readers would agree on in the mean.
        radius_mm: of the ball that bumps are set on.
        stretch_zyx: (3,) the ball's stretch along the axes.
        lobes: 0 to 1, how lobulated.
        spikes: 0 to 1, how spiculated.
        bumps: (n, 5) direction z, y, x, height relative to the radius, sharpness.
        edge_mm: width of the margin.
        solidity: 0 ground glass to 1 solid; between them the core is solid.
        solid_hu: HU of solid tissue.
        grain_hu: deviation of the tissue's texture.
        calcium: kind of calcification, or None.
        cavity: whether the centre is air.
    """

    malignancy: float
    radius_mm: float
    stretch_zyx: np.ndarray
    lobes: float
    spikes: float
    bumps: np.ndarray
    edge_mm: float
    solidity: float
    solid_hu: float
    grain_hu: float
    calcium: str | None
    cavity: bool

    @property
    def reach_mm(self) -> float:
        """Radius in mm of a ball about the centre that holds the whole lesion."""
        return float(self.radius_mm * self.stretch_zyx.max() * 1.9 + self.edge_mm)

    def rise(self, direction_zyx: np.ndarray, bumps: np.ndarray) -> np.ndarray:
        """How far bumps lift the surface, relative to the radius.

        Args:
            direction_zyx: (3, ...) unit vectors from the centre.
            bumps: (n, 5) as in the attribute.
        """
        rise = np.zeros(direction_zyx.shape[1:], np.float32)
        for *towards, height, sharpness in bumps.astype(np.float32).tolist():
            cosine = sum(d * t for d, t in zip(direction_zyx, towards))
            rise += height * np.exp(sharpness * (cosine - 1))
        return np.minimum(rise, 0.9)


@dataclass(frozen=True)
class Placed:
    """A lesion in a volume.

    Attributes:
        lesion: its looks.
        box: the part of the volume, slices of z, y, x, that holds it.
        depth_mm: (z, y, x) of the box, float32: depth below its surface.
        direction_zyx: (3, z, y, x) unit vectors from its centre.
        lung: (z, y, x) bool: what of the box is lung.
    """

    lesion: Lesion
    box: tuple[slice, slice, slice]
    depth_mm: np.ndarray
    direction_zyx: np.ndarray
    lung: np.ndarray


def random_bumps(
    count: int, height: float, sharpness: float, rng: np.random.Generator
) -> np.ndarray:
    """(count, 5) bumps in all directions; their heights vary around ``height``."""
    towards = rng.normal(size=(count, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    heights = height * rng.uniform(0.5, 1.5, (count, 1))
    return np.hstack([towards, heights, np.full((count, 1), sharpness)])


def draw_lesion(disease: Disease, rng: np.random.Generator) -> Lesion:
    """Draw a nodule's looks for a patient with ``disease``."""
    weights = LEVEL_WEIGHTS * np.exp(disease.malignancy * (LEVELS - 3) / 2)
    level = rng.choice(LEVELS, p=weights / weights.sum()) + rng.uniform(-0.35, 0.35)
    diameter = np.interp(level, LEVELS, DIAMETER_MM) * np.exp(DIAMETER_SPREAD * rng.normal())
    spikes = float(np.clip((level - 3.2) / 2 + 0.2 * rng.normal() + disease.spikes, 0, 1))
    lobes = float(np.clip(level / 12 + 0.2 * rng.normal() + disease.lobes, 0, 1))
    bumps = [
        random_bumps(5, 0.35 * lobes, 4.0, rng),
        random_bumps(round(14 * spikes), 0.35 + 0.3 * spikes, 45.0, rng),
    ]
    calcified = rng.random() < np.interp(level, LEVELS, CALCIFIED) + disease.calcium
    hazy = not calcified and rng.random() < np.interp(level, [1, 2], [0, 0.15]) + disease.haze
    blur = max(0.0, level - 2) * rng.uniform(0.1, 0.6) + disease.blur_mm
    return Lesion(
        malignancy=float(level),
        radius_mm=float(np.clip(diameter, *DIAMETER_RANGE_MM)) / 2,
        stretch_zyx=np.exp(rng.normal(0, 0.13, 3)),
        lobes=lobes,
        spikes=spikes,
        bumps=np.vstack(bumps),
        edge_mm=float(0.9 + max(0.0, blur)),
        solidity=float(rng.uniform(0, 0.75)) if hazy else 1.0,
        solid_hu=float(rng.normal(25, 18) + 45 * max(0.0, 3 - level) + disease.density_hu),
        grain_hu=float(max(5.0, rng.normal(12 * level - 10, 8) + disease.grain_hu)),
        calcium=str(rng.choice(list(CALCIUM_HU))) if calcified else None,
        cavity=bool(diameter > 6 and rng.random() < 0.03 + disease.cavity),
    )


def place_lesions(
    lesions: list[Lesion], chest: Chest, grid: Grid, rng: np.random.Generator
) -> list[Placed]:
    """Find a place for each lesion in the lungs; one without a place is left out."""
    inside = (chest.lung > 0.5).astype(np.uint8)
    wall_mm = np.stack([cv2.distanceTransform(k, cv2.DIST_L2, 3) for k in inside]) * grid.pixel_mm
    taken: list[tuple[np.ndarray, float]] = []
    placed = []
    for lesion in sorted(lesions, key=lambda one: -one.radius_mm):  # large ones need room
        kind = str(rng.choice(list(PLACES), p=PLACE_WEIGHTS))
        near, far = PLACES[kind]
        fits = (wall_mm > near * lesion.radius_mm) & (wall_mm < far * lesion.radius_mm)
        if kind == "vessel":
            fits &= chest.vessel > 0.6
        margin = min(int(lesion.radius_mm / grid.slice_mm) + 1, (grid.slices - 1) // 2)
        centre = _free_place(fits, margin, lesion, taken, grid, rng)
        if centre is not None:
            taken.append((centre, lesion.radius_mm))
            placed.append(_place(lesion, centre, chest, grid))
    return placed


def render(placed: Placed, volume_hu: np.ndarray, rng: np.random.Generator) -> None:
    """Paint a lesion into (slices, rows, columns) float32 HU, in place.

    What is denser already, the chest wall or a vessel, stays as it is.
    """
    lesion, part = placed.lesion, volume_hu[placed.box]
    tissue = np.stack([coarse_noise(image.shape, 2.2, rng) for image in part]) * lesion.grain_hu
    core_mm = placed.depth_mm - lesion.radius_mm * (1 - lesion.solidity)
    core = cover(core_mm, 1.5) if lesion.solidity < 1 else np.float32(1)
    glass_hu = -620 + 250 * lesion.solidity
    target = tissue + glass_hu + core * (lesion.solid_hu - glass_hu)
    if lesion.calcium is not None:
        inner = cover(placed.depth_mm - 0.4 * lesion.radius_mm, 1.5)
        share = {"solid": np.float32(1), "central": inner, "popcorn": tissue > 0}[lesion.calcium]
        target = target + CALCIUM_HU[lesion.calcium] * share
    if lesion.cavity:
        target = target - 1000 * cover(placed.depth_mm - 0.55 * lesion.radius_mm, 1.5)
    part += cover(placed.depth_mm, lesion.edge_mm) * np.maximum(target - part, 0)


def _free_place(
    fits: np.ndarray,
    margin: int,
    lesion: Lesion,
    taken: list[tuple[np.ndarray, float]],
    grid: Grid,
    rng: np.random.Generator,
) -> np.ndarray | None:
    """(3,) index z, y, x of a voxel that fits, clear of the ``taken``; None if there is none."""
    flat = np.flatnonzero(fits[margin : grid.slices - margin])
    if not len(flat):
        return None
    tries = rng.choice(flat, 200)
    centres = np.stack(np.unravel_index(tries, fits.shape), axis=1) + [margin, 0, 0]
    for other, radius_mm in taken:
        distance = np.linalg.norm((centres - other) * grid.spacing_zyx_mm, axis=1)
        centres = centres[distance > radius_mm + lesion.radius_mm * 1.3 + GAP_MM]
    return centres[0] if len(centres) else None


def _place(lesion: Lesion, centre: np.ndarray, chest: Chest, grid: Grid) -> Placed:
    reach = np.ceil(lesion.reach_mm / grid.spacing_zyx_mm).astype(int)
    low = np.maximum(centre - reach, 0)
    high = np.minimum(centre + reach + 1, grid.shape_zyx)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    offsets = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high)), indexing="ij")
    scale = grid.spacing_zyx_mm / lesion.stretch_zyx
    ball = np.stack([(o - c) * s for o, c, s in zip(offsets, centre, scale)]).astype(np.float32)
    radius = np.sqrt((ball**2).sum(axis=0))
    direction = ball / np.maximum(radius, 1e-3)
    depth = lesion.radius_mm * (1 + lesion.rise(direction, lesion.bumps)) - radius
    return Placed(lesion, box, depth, direction, chest.lung[box] > 0.5)
