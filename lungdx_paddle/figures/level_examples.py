"""Crops of every malignancy level, chosen by a rule (the paper's Figure 2)."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import LEVELS, MALIGNANCY
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.words import count_of


def examples_by_level(dataset: NoduleDataset, count: int) -> dict[str, list[int]]:
    """Choose crops of each malignancy level, from the smallest nodules to the largest.

    A nodule is shown once, with its widest crop.  A level's nodules are put in order of their
    diameter and cut into ``count`` equal parts; the middle of each part is chosen.  Nothing
    that a network predicts has a part in it.

    Args:
        dataset: the crops to choose from.
        count: crops a level; a level of fewer nodules gives them all.

    Returns:
        {level "1" to "5": indices of images}, empty for a level that has none.

    Raises:
        ManifestError: no crop has a malignancy label.
    """
    widest: dict[object, int] = {}
    sizes, rows = diameters_mm(dataset), tuple(dataset.manifest.rows)
    for i, row in enumerate(rows):
        if sizes[i] > sizes[widest.setdefault(row.nodule_key, i)]:
            widest[row.nodule_key] = i
    found: dict[str, list[int]] = {}
    for label, level in enumerate(LEVELS):
        of_level = [i for i in widest.values() if dataset.labels[MALIGNANCY][i] == label]
        of_level.sort(key=lambda i: (sizes[i], rows[i].image))
        chosen = min(count, len(of_level))
        found[level] = [of_level[int((k + 0.5) * len(of_level) / chosen)] for k in range(chosen)]
    if not any(found.values()):
        raise ManifestError(
            str(dataset.manifest.folder),
            expected="crops with malignancy ratings",
            found=f"none among {len(dataset)}",
            fix="use data that has ratings",
        )
    return found


def diameters_mm(dataset: NoduleDataset) -> np.ndarray:
    """(n,) diameter in mm of the disc that is as large as the crop's bright pixels (Otsu)."""
    otsu = cv2.THRESH_BINARY | cv2.THRESH_OTSU
    bright = [cv2.threshold(image, 0, 1, otsu)[1] for image in dataset.images]
    pixels_mm = [row.pixel_spacing_mm / row.scale for row in dataset.manifest.rows]
    areas = np.array([int(b.sum()) for b in bright]) * np.square(pixels_mm)
    return np.asarray(np.sqrt(4 * areas / np.pi))


def draw_levels(dataset: NoduleDataset, count: int = 10) -> Figure:
    """Draw a row of crops for each malignancy level, small nodules on the left.

    Above each crop stand its patient and its diameter.

    Args:
        dataset: the crops to choose from (:func:`examples_by_level`).
        count: crops a level.

    Raises:
        ManifestError: no crop has a malignancy label.
    """
    chosen, sizes = examples_by_level(dataset, count), diameters_mm(dataset)
    rows, images = tuple(dataset.manifest.rows), dataset.images
    figure = Figure(figsize=(1.1 * count + 0.9, 6.9), layout="constrained")
    places = figure.subplots(len(LEVELS), count, squeeze=False)
    for axes in places.ravel():
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    for label, (line, (level, indices)) in enumerate(zip(places, chosen.items())):
        of_level = np.flatnonzero(dataset.labels[MALIGNANCY] == label).tolist()
        nodules = len({rows[i].nodule_key for i in of_level})
        line[0].set_visible(True)
        line[0].spines[:].set_visible(bool(indices))  # no empty box
        line[0].set_ylabel(f"level {level}\n{count_of(nodules, 'nodule')}", fontsize=9)
        for axes, i in zip(line, indices):
            axes.set_visible(True)
            axes.imshow(images[i], cmap="gray", vmin=0, vmax=255)
            patient = rows[i].patient_id.replace("LIDC-IDRI-", "")
            axes.set_title(f"{patient}: {sizes[i]:.0f} mm", fontsize=8)
    figure.suptitle(
        "Malignancy level 1 (most benign) to 5: nodules from the smallest to the largest, "
        f"with patient and diameter; {RESEARCH_USE}",
        fontsize=9,
    )
    return figure
