"""Which readings of a series lie so near to each other that they show one nodule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lungdx_paddle.lidc.readings import Reading

ROUNDING_MM = 0.01
"""Positions are written with two decimals or more; neighbouring slices lie one slice apart."""

AT_ONCE = 16
"""Points of one reading that are measured at a time against all of another."""

FEW_PAIRS = 2**20
"""Pairs of two readings' points that are measured one by one, within 10 ms: nearly all of LIDC.
For more there is SciPy's tree, whose import takes a third of a second in each process."""


def join_readings(
    readings: Sequence[Reading], points: Sequence[np.ndarray], tolerance_mm: float
) -> list[list[int]]:
    """Group readings whose points come within the tolerance: indices of each nodule's."""
    centres = [p.mean(axis=0) for p in points]
    reach_mm = tolerance_mm + ROUNDING_MM
    low = np.array([p.min(axis=0) for p in points]).reshape(-1, 1, 3) - reach_mm
    high = np.array([p.max(axis=0) for p in points]).reshape(-1, 3)
    before = (low <= high).all(axis=2)  # (n, n): whether one's box begins before the other's ends
    pairs = [
        (float(np.linalg.norm(centres[i] - centres[j])), i, j)
        for i, j in np.argwhere(np.triu(before & before.T, 1)).tolist()
        if _are_near(points[i], points[j], reach_mm)
    ]
    group_of = [[i] for i in range(len(readings))]
    for _, i, j in sorted(pairs):
        ours, theirs = group_of[i], group_of[j]
        if not {readings[k].reader for k in ours} & {readings[k].reader for k in theirs}:
            ours.extend(theirs)
            for k in theirs:
                group_of[k] = ours
    return [sorted(group) for i, group in enumerate(group_of) if i == min(group)]


def _are_near(ours: np.ndarray, theirs: np.ndarray, reach_mm: float) -> bool:
    """Whether one of (n, 3) points is nearer than that to one of (m, 3) others."""
    ours = ours[_around(ours, theirs, reach_mm)]
    theirs = theirs[_around(theirs, ours, reach_mm)] if len(ours) else ours
    if len(ours) * len(theirs) > FEW_PAIRS:
        from scipy.spatial import cKDTree

        apart_mm, _ = cKDTree(ours).query(theirs, distance_upper_bound=reach_mm)
        return bool(np.isfinite(apart_mm).any())
    for start in range(0, len(ours), AT_ONCE):  # of one nodule, the first are near as a rule
        apart_mm = ours[start : start + AT_ONCE, None] - theirs
        if (np.einsum("ijk,ijk->ij", apart_mm, apart_mm) < reach_mm**2).any():
            return True
    return False


def _around(points: np.ndarray, others: np.ndarray, reach_mm: float) -> np.ndarray:
    """(n,) bool: which points lie in the box around the others, or within reach of it."""
    low, high = others.min(axis=0) - reach_mm, others.max(axis=0) + reach_mm
    return ((points >= low) & (points <= high)).all(axis=1)
