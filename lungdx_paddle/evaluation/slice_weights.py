"""How much each slice of a nodule counts for the answer about the nodule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def slice_weights(z_mm: Sequence[float | None]) -> np.ndarray:
    """How much each of a nodule's slices counts for the nodule: (n,) weights with a sum of 1.

    As much as a ball's cross-section there, x (1 - x) of its middle's at x of its height: the
    outermost slices show a speck of it.  Slices count as equally thick.

    Args:
        z_mm: position of each slice, in any order; where one is unknown all weigh the same.
    """
    if any(z is None for z in z_mm):
        return np.full(len(z_mm), 1.0 / len(z_mm))
    rank = np.argsort(np.argsort(np.array(z_mm, dtype=float), kind="stable"), kind="stable")
    height = (rank + 0.5) / len(z_mm)
    area = height * (1.0 - height)
    return np.asarray(area / area.sum())
