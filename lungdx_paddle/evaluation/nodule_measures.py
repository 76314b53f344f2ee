"""Size, roundness and brightness of a nodule as its crops show it, and its slices' thickness.

Nothing here comes from a rating.  In a crop of the rule ``paper`` the nodule is what is not black:
its outline is the readers'.  In one of the rule ``context`` it is a disc about the middle, out to
where the gray value falls to :data:`EDGE` of the way from the surroundings to the middle along
:data:`RAYS` rays; the :data:`REACH` percentile of the rays, since some run into a vessel or the
chest wall.  On real crops its logarithm goes with that of the readers' outline (r = 0.94 by
nodule), and least squares on it is as good (docs/reference/scores.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.evaluation.counts import numbered
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import CROP_SIZE, ManifestRow
from lungdx_paddle.preprocess.crop import CONTEXT, CONTEXT_MM

BLACK = 12
"""Highest gray value of a paper crop's padding: JPG leaves up to that beside an edge."""

WHITE = 250
"""Least gray value that is white: the upper end of the window, 1000 HU by default, but for JPG."""

RAYS, STEP = 32, 0.5
"""How many directions from the middle of a context crop, and the distance of samples in pixels."""

EDGE, REACH = 0.6, 40
"""Of 0.5, 0.6 and 0.7 of the contrast and the percentiles 33, 40 and 50 the pair whose diameter
goes best with the readers' outline on the public crops."""

MIDDLE = 2.5
"""Radius in pixels of the disc whose mean is the gray value of the middle."""

SURROUNDINGS = 20
"""Percentile of a context crop's gray values: lung, also where a third of it is chest wall."""


@dataclass(frozen=True, eq=False)
class Measures:
    """Measures of n crops, or of the nodules that they show; NaN where one is not known."""

    nodule: np.ndarray
    """(n,) a number that the crops of one nodule share."""
    diameter_mm: np.ndarray
    """Of the disc of the same area."""
    roundness: np.ndarray
    """Log of the area over that of the ellipse with the same moments (paper rule), or of the 25th
    over the 75th percentile of the rays (context rule): 0 is round, less is not."""
    mean_gray: np.ndarray
    largest_gray: np.ndarray
    slice_thickness_mm: np.ndarray
    """DICOM (0018,0050) of the series, as :func:`known_series` has it."""

    def select(self, indices: np.ndarray) -> Measures:
        """The measures at ``indices``, in that order."""
        return Measures(**{name: values[indices] for name, values in vars(self).items()})

    def by_nodule(self) -> tuple[Measures, np.ndarray]:
        """Each nodule's largest diameter and gray value, and the means of the rest.

        Returns:
            Measures a nodule, and (n,) the place of each crop's nodule in them.
        """
        numbers, place = np.unique(self.nodule, return_inverse=True)
        crops, found = np.bincount(place), {"nodule": numbers}
        for name, values in vars(self).items():
            if name in ("diameter_mm", "largest_gray"):
                found[name] = np.zeros(len(numbers))
                np.maximum.at(found[name], place, values)
            elif name != "nodule":
                found[name] = np.bincount(place, values) / crops
        return Measures(**found), place


def measure(rows: Sequence[ManifestRow], images: np.ndarray) -> Measures:
    """Measure crops.

    Args:
        rows: (n,) of a manifest, all of one crop rule.
        images: (n, 32, 32) uint8.
    """
    if rows[0].crop == CONTEXT:
        inside, radius, roundness = _middle_discs(images)
        diameter_mm = 2 * radius * CONTEXT_MM / CROP_SIZE
    else:
        inside = images > BLACK
        pixel_mm = np.array([row.pixel_spacing_mm / row.scale for row in rows])
        diameter_mm = 2 * np.sqrt(_area(inside) / np.pi) * pixel_mm
        roundness = _roundness(inside)
    gray = np.where(inside, images, 0)
    thickness = {uid: facts.slice_thickness_mm for uid, facts in known_series().items()}
    return Measures(
        nodule=numbered([row.nodule_key for row in rows])[0],
        diameter_mm=diameter_mm,
        roundness=roundness,
        mean_gray=gray.sum(axis=(1, 2)) / _area(inside),
        largest_gray=gray.max(axis=(1, 2)).astype(float),
        slice_thickness_mm=np.array([thickness.get(row.series_uid, np.nan) for row in rows]),
    )


def _middle_discs(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, 32, 32) bool: the bright disc about the middle; (n,) its radius in pixels, roundness."""
    middle = (CROP_SIZE - 1) / 2
    y, x = np.indices((CROP_SIZE, CROP_SIZE)) - middle
    distance = np.hypot(y, x)
    center = images[:, distance < MIDDLE].mean(axis=1)
    around = np.percentile(images[:, distance < middle], SURROUNDINGS, axis=1)
    angle = np.arange(RAYS)[:, np.newaxis] * 2 * np.pi / RAYS
    out = np.arange(0, middle + STEP, STEP)
    row, column = (np.rint(middle + out * f(angle)).astype(int) for f in (np.sin, np.cos))
    samples = images[:, row, column]
    dark = samples <= (around + EDGE * (center - around))[:, np.newaxis, np.newaxis]
    steps = np.where(dark.any(axis=2), dark.argmax(axis=2), len(out))
    low, radius, high = np.percentile(STEP * np.maximum(steps - 0.5, 1), [25, REACH, 75], axis=1)
    inside = distance <= np.maximum(radius, 1.0)[:, np.newaxis, np.newaxis]
    return inside, radius, np.log(low / high)


def _area(inside: np.ndarray) -> np.ndarray:
    """(n,) pixels of (n, 32, 32) bool; of nothing 1, since a logarithm follows."""
    return np.maximum(inside.sum(axis=(1, 2)), 1)


def _roundness(inside: np.ndarray) -> np.ndarray:
    """Log of the area of (n, 32, 32) bool over that of the ellipse with the same moments."""
    area = _area(inside)
    y, x = (
        axis - ((inside * axis).sum(axis=(1, 2)) / area)[:, np.newaxis, np.newaxis]
        for axis in np.indices(inside.shape[1:])
    )
    # A pixel is a square, not a point: its own second moment is 1/12.
    yy, xx, yx = ((inside * a * b).sum(axis=(1, 2)) / area for a, b in ((y, y), (x, x), (y, x)))
    ellipse = 4 * np.pi * np.sqrt((yy + 1 / 12) * (xx + 1 / 12) - yx**2)
    return np.log(area / ellipse)
