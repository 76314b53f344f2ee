"""Draw docs/images/overview.png: from a CT slice to a finding.

    python docs/overview.py --lidc LIDC-IDRI/LIDC-IDRI-0001 --model inference

The CT is one of LIDC-IDRI (CC BY 3.0) with its XML beside it; the model is what
tools/export.py wrote.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.lidc import find_scans
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.series import Crop, crop_series
from lungdx_paddle.preprocess.window import NAMED_WINDOWS

COLOURS = ("tab:red", "tab:orange", "tab:cyan", "tab:green")
AROUND_PX = 40


def show(axes: Axes, image: np.ndarray, title: str, **options: object) -> None:
    axes.imshow(image, cmap="gray", interpolation="nearest", **options)
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def outline(axes: Axes, crop: Crop, sop_uid: str) -> None:
    for colour, reading in zip(COLOURS, crop.nodule.readings):
        for contour in reading.contours:
            if contour.sop_uid == sop_uid:
                x, y = np.vstack([contour.points_xy, contour.points_xy[:1]]).T
                axes.plot(x, y, color=colour, linewidth=1)


def bars(axes: Axes, task: str, names: Sequence[str], values: np.ndarray) -> None:
    places = np.arange(len(names))[::-1]
    axes.barh(places, values, color="tab:blue")
    axes.set_yticks(places, names, fontsize=8)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability", fontsize=8)
    axes.set_title(task, fontsize=10)


def panels() -> tuple[Figure, list[Axes]]:
    """Four square pictures and two bar charts with room for their labels."""
    figure = plt.figure(figsize=(13, 2.7))
    lefts, widths = (
        (0.0, 0.165, 0.33, 0.495, 0.71, 0.925),
        (0.165, 0.165, 0.165, 0.165, 0.065, 0.065),
    )
    boxes = ((left, 0.17, width, 0.7) for left, width in zip(lefts, widths))
    return figure, [figure.add_axes(box) for box in boxes]


def draw(lidc: Path, model: Path, out: Path) -> None:
    scan = find_scans(lidc)[0]
    series, predictor = scan.series, Predictor(model)
    crops = crop_series(scan, predictor.window).crops
    crop = crops[len(crops) // 2]
    hu, sop_uid = series.slice_hu(crop.index), series.sop_uids[crop.index]
    figure, axes = panels()
    center, width = NAMED_WINDOWS["lung"]
    low, high = center - width / 2, center + width / 2
    show(axes[0], hu, f"{series.patient_id}, slice {crop.index}", vmin=low, vmax=high)
    outline(axes[0], crop, sop_uid)
    lung = np.where(lung_mask(hu, series.spacing_zyx_mm[1]), hu, low)
    show(axes[1], lung, "lung parenchyma", vmin=low, vmax=high)
    rows, columns = np.argwhere(crop.nodule.majority_mask(sop_uid, hu.shape)).mean(axis=0)
    show(axes[2], hu, "four readers", vmin=low, vmax=high)
    axes[2].set_xlim(columns - AROUND_PX, columns + AROUND_PX)
    axes[2].set_ylim(rows + AROUND_PX, rows - AROUND_PX)
    outline(axes[2], crop, sop_uid)
    show(axes[3], crop.image, "32x32 crop", vmin=0, vmax=255)
    probabilities = predictor.probabilities(crop.image[np.newaxis])
    for place, (task, names) in zip(axes[4:], predictor.tasks.items()):
        levels = [f"level {name}" for name in names] if task == "malignancy" else names
        bars(place, task, levels, probabilities[task][0])
    figure.text(0.005, 0.02, f"LIDC-IDRI, CC BY 3.0; {RESEARCH_USE}", fontsize=7, color="gray")
    figure.savefig(out, dpi=100)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lidc", type=Path, required=True, help="folder of one CT and its XML")
    parser.add_argument("--model", type=Path, required=True, help="what tools/export.py wrote")
    default = Path(__file__).parent / "images" / "overview.png"
    parser.add_argument("--out", type=Path, default=default, help=f"default: {default.name}")
    args = parser.parse_args(argv)
    draw(args.lidc, args.model, args.out)


if __name__ == "__main__":
    main()
