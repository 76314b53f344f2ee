"""A nodule at a glance: its widest slice and every reader's outline on it."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.nodules import Nodule
from lungdx_paddle.preprocess.window import NAMED_WINDOWS

if TYPE_CHECKING:  # matplotlib takes long to import, and most users of this room never draw
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN_MM = 15.0
"""Shown around the outlines: enough to tell the lung's wall and vessels."""

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
    from matplotlib.figure import Figure

    sop_uid = sop_uid or _widest_slice(series, nodule)
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
    centre, width = NAMED_WINDOWS["lung"]
    low, high = centre - width / 2, centre + width / 2
    axes.imshow(series.slice_hu(index), cmap="gray", vmin=low, vmax=high)
    axes.set_title(f"{series.patient_id}, nodule {nodule.number}, z {series.z_mm[index]:g} mm")
    axes.set_xlabel(f"column, pixels of {series.spacing_zyx_mm[2]:.3g} mm")
    axes.set_ylabel(f"row, pixels of {series.spacing_zyx_mm[1]:.3g} mm")
    _draw_outlines(axes, nodule, sop_uid, MARGIN_MM / series.spacing_zyx_mm[2])
    return figure


def _draw_outlines(axes: Axes, nodule: Nodule, sop_uid: str, margin_px: float) -> None:
    drawn = []
    for reading, colour in zip(nodule.readings, cycle(COLOURS)):
        label = f"reader {reading.reader + 1}: malignancy {reading.malignancy or 'not rated'}"
        for contour in reading.contours:
            if contour.sop_uid == sop_uid and len(contour.points_xy):
                closed = np.concatenate([contour.points_xy, contour.points_xy[:1]])
                line = "-" if contour.inclusion else ":"
                axes.plot(closed[:, 0], closed[:, 1], line, color=colour, label=label)
                label = ""  # one entry a reader in the legend
                drawn.append(closed)
    if not drawn:
        return
    points_xy = np.concatenate(drawn)
    left, top = points_xy.min(axis=0) - margin_px
    right, bottom = points_xy.max(axis=0) + margin_px
    axes.set(xlim=(left, right), ylim=(bottom, top))  # rows run downwards
    axes.legend(loc="lower right", fontsize="small")


def _widest_slice(series: Series, nodule: Nodule) -> str:
    present = [uid for uid in nodule.sop_uids if series.index_of(uid) is not None]
    shape = series.shape_zyx[1:]
    return max(present, key=lambda uid: int(nodule.masks(uid, shape).sum()), default="")
