"""From a CT slice to a finding, in one row of pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.figures.canvas import BLACK_HU, PHANTOM_DATA, show_slice
from lungdx_paddle.figures.nodule_slice import draw_outlines
from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.nodules import Nodule

AROUND_PX = 40
"""Shown about the nodule's middle."""


def draw_overview(
    series: Series,
    nodule: Nodule,
    sop_uid: str,
    images: tuple[np.ndarray, np.ndarray],
    probabilities: Mapping[str, Mapping[str, float]],
    model: str,
) -> Figure:
    """Draw the slice, its lungs, the readers' outlines, the crop and what a model predicts.

    Args:
        series: holds the slice.
        nodule: outlined on the slice.
        sop_uid: the slice.
        images: the slice's (rows, columns) bool lung mask and the 32x32 uint8 crop.
        probabilities: {task: {class: probability}}.
        model: what predicts.
    """
    index = series.sop_uids.index(sop_uid)
    hu, (lung, crop) = series.slice_hu(index), images
    figure = Figure(figsize=(15, 3), layout="constrained")
    widths = [1.0] * 4 + [0.5] * len(probabilities)
    places = figure.subplots(1, len(widths), width_ratios=widths)
    show_slice(places[0], hu, f"{series.patient_id}, z {series.z_mm[index]:g} mm")
    show_slice(places[1], np.where(lung, hu, BLACK_HU), "lung parenchyma")
    show_slice(places[2], hu, "the readers' outlines")
    draw_outlines(places[0], nodule, sop_uid)
    draw_outlines(places[2], nodule, sop_uid)
    row, column = np.argwhere(nodule.majority_mask(sop_uid, hu.shape)).mean(axis=0)
    places[2].set(
        xlim=(column - AROUND_PX, column + AROUND_PX), ylim=(row + AROUND_PX, row - AROUND_PX)
    )
    places[3].imshow(crop, cmap="gray", vmin=0, vmax=255)
    places[3].set_title("32x32 crop", fontsize=9)
    places[3].set(xticks=[], yticks=[])
    for axes, (task, classes) in zip(places[4:], probabilities.items()):
        names = [f"level {name}" if task == MALIGNANCY else name for name in classes]
        axes.barh(range(len(names)), list(classes.values()), color="tab:blue")
        axes.invert_yaxis()
        axes.set_yticks(range(len(names)), names)
        axes.set_xlim(0, 1)
        axes.tick_params(labelsize=8)
        axes.set_xlabel("probability", fontsize=8)
        axes.set_title(task, fontsize=9)
    source = PHANTOM_DATA if series.patient_id.startswith("PHANTOM") else "LIDC-IDRI, CC BY 3.0"
    figure.supxlabel(
        f"{source}; model: {model}; {RESEARCH_USE}", fontsize=8, color="gray", x=0.01, ha="left"
    )
    return figure
