"""Contact sheet of a series: slices with the outline of the lung mask."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.figures.canvas import PHANTOM_DATA, show_slice
from lungdx_paddle.lidc.scan import Scan

TILES, COLUMNS = 60, 10

EVERY_PIXEL = 2
"""Of a slice is shown: a tile is small."""


def draw_lung_sheet(scan: Scan, lung: np.ndarray) -> Figure:
    """Draw evenly spaced slices of a series, from the caudal end, with the lungs outlined.

    The title says how much of each nodule (what at least half of its readers outlined) lies in
    the mask.

    Args:
        scan: the series and its nodules.
        lung: (slices, rows, columns) bool, such as of
            :func:`lungdx_paddle.preprocess.lungs.lung_volume.lung_volume`.
    """
    series = scan.series
    shown = list(range(0, len(lung), -(-len(lung) // TILES)))
    rows = -(-len(shown) // COLUMNS)
    tight = ConstrainedLayoutEngine(w_pad=0.01, h_pad=0.03, wspace=0, hspace=0)
    figure = Figure(figsize=(15, 1.6 * rows + 0.6), layout=tight)
    places = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, index in zip(places, shown):
        small = series.slice_hu(index)[::EVERY_PIXEL, ::EVERY_PIXEL]
        show_slice(axes, small, f"z {series.z_mm[index]:.1f} mm")
        mask = lung[index].astype(np.uint8)
        for outline in cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]:
            closed = np.vstack([outline, outline[:1]])[:, 0] / EVERY_PIXEL
            axes.plot(*closed.T, color="yellow", linewidth=0.6)
    for axes in places[len(shown) :]:
        axes.axis("off")
    masks = [nodule.consensus_mask(series) for nodule in scan.nodules]
    inside = [float(lung[mask].mean()) for mask in masks if mask.any()]
    nodules = "no nodule"
    if inside:
        nodules = f"nodules inside: mean {np.mean(inside):.3f}, least {min(inside):.3f}"
    source = PHANTOM_DATA if series.patient_id.startswith("PHANTOM") else "CC BY 3.0"
    figure.suptitle(
        f"{series.patient_id} ({source}): lung mask of {len(shown)} of {len(lung)} slices, "
        f"caudal to cranial; {nodules}; {RESEARCH_USE}",
        fontsize=9,
    )
    return figure
