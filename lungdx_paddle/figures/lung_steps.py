"""The paper's steps from a slice to its lungs, as a picture (its Figure 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.preprocess.lungs.paper_steps import iterative_threshold, lung_steps
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, NAMED_WINDOWS, apply_window

if TYPE_CHECKING:  # matplotlib takes long to import, and most users of this room never draw
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLES: dict[str, str] = {
    "tissue": "tissue: at or above T",
    "body": "largest area, holes filled: the body",
    "air": "air in the body",
    "parenchyma": "areas of 1000 pixels or more,\nholes filled",
    "lung": "closed with a disc of radius 5:\nthe lung mask",
}
"""What each of the steps of :func:`lungdx_paddle.preprocess.lungs.lung_steps` is."""

RULER_MM = 100.0


def draw_lung_steps(
    hu: np.ndarray,
    pixel_spacing_mm: float,
    title: str,
    nodule: np.ndarray | None = None,
) -> Figure:
    """Draw a slice, its histogram with the threshold, each step's mask, and what is left.

    Args:
        hu: (rows, columns) slice in HU.
        pixel_spacing_mm: for the ruler.
        title: which slice it is.
        nodule: (rows, columns) bool, outlined on the first and the last picture.
    """
    from matplotlib.figure import Figure

    steps = lung_steps(hu)
    centre, width = NAMED_WINDOWS["lung"]
    black, white = centre - width / 2, centre + width / 2
    gray: Any = {"cmap": "gray", "vmin": black, "vmax": white}
    figure = Figure(figsize=(12, 6.9), layout="constrained")
    places = figure.subplots(2, 4).ravel()
    places[0].imshow(hu, **gray)
    places[0].set_title(f"the slice (window {centre:g}/{width:g} HU)", fontsize=9)
    _draw_ruler(places[0], hu.shape, pixel_spacing_mm)
    _draw_histogram(places[1], hu)
    for axes, (name, mask) in zip(places[2:], steps.items()):
        axes.imshow(mask, cmap="gray", vmin=0, vmax=1)
        axes.set_title(TITLES[name], fontsize=9)
    places[7].imshow(np.where(steps["lung"], hu, black), **gray)
    places[7].set_title("the lung parenchyma", fontsize=9)
    for axes in (places[0], *places[2:]):
        axes.set(xticks=[], yticks=[])
    if nodule is not None and nodule.any():
        for axes in (places[0], places[7]):
            axes.contour(nodule, [0.5], colors="tab:orange", linewidths=1)
    figure.suptitle(f"{title}; {RESEARCH_USE}", fontsize=10)
    return figure


def _draw_ruler(axes: Axes, shape: tuple[int, ...], pixel_spacing_mm: float) -> None:
    row, length_px = 0.96 * shape[0], RULER_MM / pixel_spacing_mm
    start = 0.04 * shape[1]
    axes.plot([start, start + length_px], [row, row], color="white", linewidth=2)
    axes.text(start, row - 0.02 * shape[0], f"{RULER_MM:g} mm", color="white", fontsize=8)


def _draw_histogram(axes: Axes, hu: np.ndarray) -> None:
    """Of the 8-bit slice, which the threshold is of; the axis is in HU."""
    gray = apply_window(hu, *DEFAULT_WINDOW)
    centre, width = DEFAULT_WINDOW
    low, step = centre - width / 2, width / 255
    counts = np.bincount(gray.ravel(), minlength=256)
    axes.bar(low + step * np.arange(256), counts / 1000, width=step, color="0.4")
    threshold = low + step * iterative_threshold(gray)
    axes.axvline(threshold, color="tab:red")
    axes.set_title(f"iterative threshold T = {threshold:.0f} HU", fontsize=9)
    axes.set_xlabel("HU (the ends hold what is beyond; cut off)", fontsize=8)
    axes.set_ylabel("thousand pixels", fontsize=8)
    axes.set_ylim(0, float(np.sort(counts)[-3]) / 500)
    axes.tick_params(labelsize=8)
