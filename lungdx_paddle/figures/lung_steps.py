"""The paper's steps from a slice to its lungs, as a picture (its Figure 1)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.figures.canvas import BLACK_HU, LUNG_CENTRE, LUNG_WIDTH, show_slice
from lungdx_paddle.preprocess.lungs.paper_steps import iterative_threshold, lung_steps
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

TITLES: dict[str, str] = {
    "tissue": "tissue: at or above T",
    "body": "largest area, holes filled: the body",
    "air": "air in the body",
    "parenchyma": "areas of 1000 pixels or more,\nholes filled",
    "lung": "closed with a disc of radius 5:\nthe lung mask",
}
"""What each of the steps of :func:`lungdx_paddle.preprocess.lungs.paper_steps.lung_steps` is."""

RULER_MM = 100.0


def draw_lung_steps(
    hu: np.ndarray,
    pixel_spacing_mm: float,
    title: str,
    nodule: np.ndarray | None = None,
) -> Figure:
    """Draw a slice, its histogram with the threshold, each step's mask, and the parenchyma.

    Args:
        hu: (rows, columns) slice in HU.
        pixel_spacing_mm: distance of the columns, for the ruler.
        title: which slice it is.
        nodule: (rows, columns) bool, outlined on the first and the last picture.
    """
    steps = lung_steps(hu)
    figure = Figure(figsize=(12, 6.9), layout="constrained")
    places = figure.subplots(2, 4).ravel()
    window = f"{LUNG_CENTRE:g}/{LUNG_WIDTH:g} HU"
    show_slice(places[0], hu, f"the slice (window {window})")
    row, left, length_px = 0.96 * hu.shape[0], 0.04 * hu.shape[1], RULER_MM / pixel_spacing_mm
    places[0].plot([left, left + length_px], [row, row], color="white", linewidth=2)
    text = f"{RULER_MM:g} mm"
    places[0].text(left, row - 0.02 * hu.shape[0], text, color="white", fontsize=8)

    # The threshold is found in the 8-bit slice; the axis is in HU.
    gray = apply_window(hu, *DEFAULT_WINDOW)
    centre, width = DEFAULT_WINDOW
    low, step = centre - width / 2, width / 255
    counts = np.bincount(gray.ravel(), minlength=256)
    places[1].bar(low + step * np.arange(256), counts / 1000, width=step, color="0.4")
    threshold = low + step * iterative_threshold(gray)
    places[1].axvline(threshold, color="tab:red")
    places[1].set_title(f"iterative threshold T = {threshold:.0f} HU", fontsize=9)
    places[1].set_xlabel("HU (the ends hold what is beyond; cut off)", fontsize=8)
    places[1].set_ylabel("thousand pixels", fontsize=8)
    places[1].set_ylim(0, float(np.sort(counts)[-3]) / 500)
    places[1].tick_params(labelsize=8)

    for axes, (name, mask) in zip(places[2:], steps.items()):
        axes.imshow(mask, cmap="gray", vmin=0, vmax=1)
        axes.set_title(TITLES[name], fontsize=9)
        axes.set(xticks=[], yticks=[])
    show_slice(places[7], np.where(steps["lung"], hu, BLACK_HU), "the lung parenchyma")
    if nodule is not None and nodule.any():
        for axes in (places[0], places[7]):
            axes.contour(nodule, [0.5], colors="tab:orange", linewidths=1)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=10)
    return figure
