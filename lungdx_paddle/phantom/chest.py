"""The phantom's chest: a slab of a simplified thorax in HU.

It is drawn in the millimetres of one standard chest, 300 wide, and scaled to the patient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungdx_paddle.phantom.geometry import Canvas, Grid, coarse_noise, cover
from lungdx_paddle.phantom.vessels import draw_vessels, grow_vessels

BODY_HALF_XY = (150.0, 106.0)
CAVITY_CENTRE_XY, CAVITY_HALF_XY = (0.0, -2.0), (124.0, 84.0)
"""The inside of the rib cage."""

AIR_HU, LUNG_HU, FAT_HU, MUSCLE_HU, BLOOD_HU = -1000, -860, -100, 45, 50
MARROW_HU, CORTEX_HU, TABLE_HU = 220, 620, 60

RIBS_AROUND = 14
"""Ribs that one slice cuts, if none were missing at sternum and spine."""


@dataclass(frozen=True)
class Chest:
    """A chest without nodules or noise: (slices, rows, columns) float32 each."""

    volume_hu: np.ndarray
    lung: np.ndarray
    """0 to 1, the share of a voxel that lies in a lung."""
    vessel: np.ndarray
    """0 to 1, the share of a voxel that lies in a lung's vessel."""


@dataclass(frozen=True)
class _Anatomy:
    """What differs from patient to patient; lengths in standard millimetres."""

    scale: float
    depth: float
    heart: float
    carina_mm: float
    contrast_hu: float
    fat_mm: float
    phases: tuple[float, ...]

    def heart_at(self, z: float) -> float:
        """The heart's size at a height: it widens caudally."""
        return self.heart * min(max(0.92 - z / 130, 0.6), 1.2)


def build_chest(grid: Grid, rng: np.random.Generator) -> Chest:
    """Draw one patient's chest on ``grid``; the same generator state, the same chest."""
    half_field_mm = grid.rows * grid.pixel_mm / 2
    anatomy = _Anatomy(
        scale=half_field_mm * rng.uniform(0.85, 0.93) / BODY_HALF_XY[0],
        depth=rng.uniform(0.95, 1.08),
        heart=rng.uniform(0.85, 1.05),
        carina_mm=rng.uniform(-8, 30),
        contrast_hu=float(rng.choice([0.0, 110.0])) * rng.uniform(0.8, 1.2),
        fat_mm=rng.uniform(5, 12),
        phases=tuple(rng.uniform(0, 2 * np.pi, 4).tolist()),
    )
    vessels = grow_vessels(rng)
    stretch_xy = (anatomy.scale, anatomy.scale * anatomy.depth)
    y, x = grid.axis_mm[:, np.newaxis] / stretch_xy[1], grid.axis_mm / stretch_xy[0]
    chest = Chest(*(np.full(grid.shape_zyx, fill, np.float32) for fill in (AIR_HU, 0, 0)))
    for k, z in enumerate((grid.z_mm / anatomy.scale).tolist()):
        canvas = Canvas(chest.volume_hu[k], x, y, grid.pixel_mm)
        lung = _lung_depth(canvas, z, anatomy)
        _paint_table_and_wall(canvas, anatomy)
        _paint_mediastinum(canvas, z, anatomy)
        # Denser to the back, where a lying patient's blood gathers, and uneven.
        fine, wide = (coarse_noise(grid.shape_zyx[1:], px, rng) for px in (2.5, 25))
        canvas.paint(lung, LUNG_HU + 0.25 * y + 14 * fine + 12 * wide)
        _paint_bones(canvas, z, anatomy)
        _paint_airways(canvas, z, anatomy)
        chest.lung[k] = cover(lung, grid.pixel_mm)
        chest.vessel[k] = chest.lung[k] * draw_vessels(vessels, z, stretch_xy, grid)
        canvas.hu[:] += chest.vessel[k] * (BLOOD_HU + anatomy.contrast_hu / 2 - canvas.hu)
    return chest


def _lung_depth(canvas: Canvas, z: float, anatomy: _Anatomy) -> np.ndarray:
    """Both lungs: inside the rib cage and outside the mediastinum, with round corners."""
    angle = np.arctan2(canvas.y, canvas.x)
    uneven = 2 * np.sin(3 * angle + anatomy.phases[0] + z / 25)
    uneven += 1.5 * np.sin(5 * angle + anatomy.phases[1] - z / 18)
    cavity = canvas.rounded(CAVITY_CENTRE_XY, CAVITY_HALF_XY) - 4 + uneven
    middle = _mediastinum_depth(canvas, z, anatomy) + uneven
    return (cavity - middle - np.sqrt((cavity + middle) ** 2 + 7**2)) / 2


def _mediastinum_depth(canvas: Canvas, z: float, anatomy: _Anatomy) -> np.ndarray:
    size = anatomy.heart_at(z)
    parts = [
        canvas.ellipse((14, -22), (50 * size, 46 * size)),  # heart
        canvas.ellipse((0, 58), (33, 38)),  # before and beside the spine
        canvas.ellipse((0, 8), (20, 22)),  # around the trachea
        canvas.ellipse((0, -60), (8, 40)),  # behind the sternum
        canvas.ellipse((21, 33), (15, 15)),  # descending aorta
        canvas.ellipse((-32, 8), (13, 13)),  # hila
        canvas.ellipse((36, 8), (13, 13)),
    ]
    return np.maximum.reduce(parts)


def _paint_table_and_wall(canvas: Canvas, anatomy: _Anatomy) -> None:
    for below, half_mm in ((112.0, 1.6), (124.0, 1.0)):
        canvas.paint(half_mm - np.abs(canvas.y - (below - canvas.x**2 / 1100)), TABLE_HU)
    body = canvas.rounded((0, 0), BODY_HALF_XY)
    muscle = body - anatomy.fat_mm
    canvas.paint(body, FAT_HU)
    canvas.paint(2 - np.abs(body - 1), MUSCLE_HU - 60)  # skin
    canvas.paint(muscle, MUSCLE_HU)
    canvas.paint(1.2 - np.abs(muscle - 6 - 2 * np.sin(canvas.x / 17)), FAT_HU, 0.7)


def _paint_mediastinum(canvas: Canvas, z: float, anatomy: _Anatomy) -> None:
    size = anatomy.heart_at(z)
    canvas.paint(_mediastinum_depth(canvas, z, anatomy), FAT_HU + 60, 0.8)
    canvas.paint(canvas.ellipse((0, 58), (30, 34)), MUSCLE_HU)
    canvas.paint(canvas.ellipse((14, -22), (46 * size, 41 * size)), BLOOD_HU)
    for centre_xy, half_xy in (
        ((2.0, -32.0), (15.0, 15.0)),  # ascending aorta
        ((28.0, -12.0), (18 * size, 22 * size)),  # left chambers
        ((21.0, 33.0), (11.5, 11.5)),  # descending aorta
        ((-22.0, -12.0), (9.0, 10.0)),  # superior vena cava
    ):
        canvas.paint(canvas.ellipse(centre_xy, half_xy), BLOOD_HU + anatomy.contrast_hu)


def _paint_bones(canvas: Canvas, z: float, anatomy: _Anatomy) -> None:
    # Ribs run down and forward, so in a slice each is a lens that wanders with z.
    (cx, cy), (ax, ay) = CAVITY_CENTRE_XY, CAVITY_HALF_XY
    period = 2 * np.pi / RIBS_AROUND
    angle = np.arctan2((canvas.y - cy) / ay, (canvas.x - cx) / ax) * np.sign(canvas.x)
    along = np.mod(angle + z / 45 + anatomy.phases[2], period) - period / 2
    across = canvas.rounded(CAVITY_CENTRE_XY, CAVITY_HALF_XY) + 5
    lens = (1 - np.sqrt((along * 100 / 13) ** 2 + (across / 3.8) ** 2)) * 3.8
    ribs = np.where(np.abs(canvas.x) > 24, lens, np.float32(-100))
    vertebra = 0.75 + 0.25 * float(np.cos(z / 5 + anatomy.phases[3]))  # softer at the discs
    for depth, density in (
        (ribs, 1.0),
        (canvas.ellipse((0, 47), (19, 15)), vertebra),
        (canvas.ellipse((-23, 68), (17, 5)), 1.0),  # transverse processes
        (canvas.ellipse((23, 68), (17, 5)), 1.0),
        (canvas.ellipse((0, 84), (4.5, 14)), 1.0),  # spinous process
        (canvas.ellipse((0, 67), (14, 13)), 1.0),  # vertebral arch
        (canvas.ellipse((0, -88), (19, 5.5)), 0.8),  # sternum
    ):
        canvas.paint(depth, CORTEX_HU * density)
        canvas.paint(depth - 1.8, MARROW_HU * density)
    canvas.paint(canvas.ellipse((0, 66), (9, 8)), MUSCLE_HU - 15)  # spinal canal


def _paint_airways(canvas: Canvas, z: float, anatomy: _Anatomy) -> None:
    """Trachea above the carina, a main bronchus to either side below it."""
    below = max(anatomy.carina_mm - z, 0.0)
    aside = min(0.8 * below, 34)
    radius = 9.0 if below == 0 else max(8 - below / 20, 4.5)
    tubes = [canvas.ellipse((x, 8 + below / 12), (radius, radius)) for x in (-aside, aside)]
    lumen = np.maximum(*tubes)
    canvas.paint(lumen + 1.6, MUSCLE_HU)
    canvas.paint(lumen, AIR_HU + 20)
