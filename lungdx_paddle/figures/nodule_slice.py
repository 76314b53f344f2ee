"""A nodule at a glance: its widest slice and every reader's outline on it."""

from __future__ import annotations

from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lungdx_paddle.errors import LidcError
from lungdx_paddle.figures.canvas import show_slice
from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.nodules import Nodule

MARGIN_MM = 15.0
"""Shown around the outlines: enough to recognise the lung's wall and vessels."""

COLOURS = ("tab:red", "tab:blue", "tab:green", "tab:orange")
"""One a reader, in the order of the sessions."""


def draw_nodule(series: Series, nodule: Nodule, sop_uid: str | None = None) -> Figure:
    """Draw a nodule with the outlines of all its readers, and its ratings.

    Exclusions are dotted.  In a notebook the figure shows itself; elsewhere use its
    ``savefig``.

    Args:
        series: holds the slice.
        nodule: of this series.
        sop_uid: the slice; None: the one where all readers together enclosed most.

    Raises:
        LidcError: the series lacks the slice, or its pixels cannot be read.
    """
    if not sop_uid:
        present = [uid for uid in nodule.sop_uids if series.index_of(uid) is not None]
        shape = series.shape_zyx[1:]
        sop_uid = max(present, key=lambda uid: int(nodule.masks(uid, shape).sum()), default="")
    index = series.index_of(sop_uid)
    if index is None:
        raise LidcError(
            f"series {series.series_uid}",
            expected="a slice that a reader outlined",
            found=f"no slice {sop_uid}" if sop_uid else "none of them",
            fix="give a slice that it has, or download the whole series",
        )
    figure = Figure(figsize=(5, 5.4), layout="constrained")
    axes = figure.add_subplot()
    _, row_mm, column_mm = series.spacing_zyx_mm
    title = f"{series.patient_id}, nodule {nodule.number}, z {series.z_mm[index]:g} mm"
    show_slice(axes, series.slice_hu(index), title)
    axes.set_aspect(row_mm / column_mm)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlabel(f"column, pixels of {column_mm:.3g} mm")
    axes.set_ylabel(f"row, pixels of {row_mm:.3g} mm")
    points_xy = draw_outlines(axes, nodule, sop_uid)
    if len(points_xy):
        margin_px = np.array([MARGIN_MM / column_mm, MARGIN_MM / row_mm])
        left, top = points_xy.min(axis=0) - margin_px
        right, bottom = points_xy.max(axis=0) + margin_px
        axes.set(xlim=(left, right), ylim=(bottom, top))  # rows run downwards
        axes.legend(loc="lower right", fontsize="small")
    return figure


def draw_outlines(axes: Axes, nodule: Nodule, sop_uid: str) -> np.ndarray:
    """Draw every reader's outlines on one slice, and return their (n, 2) points, x then y."""
    drawn = [np.zeros((0, 2))]
    for reading, colour in zip(nodule.readings, cycle(COLOURS)):
        label = f"reader {reading.reader + 1}: malignancy {reading.malignancy or 'not rated'}"
        for contour in reading.contours:
            if contour.sop_uid == sop_uid and len(contour.points_xy):
                closed = np.concatenate([contour.points_xy, contour.points_xy[:1]])
                line = "-" if contour.inclusion else ":"
                axes.plot(*closed.T, line, color=colour, linewidth=1.2, label=label)
                label = ""  # one entry a reader in the legend
                drawn.append(closed)
    return np.concatenate(drawn)
