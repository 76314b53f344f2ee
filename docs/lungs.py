"""Show and measure the lung masks: a contact sheet for each series, and a table.

    python docs/lungs.py --lidc LIDC-IDRI

Without --lidc it is the phantom, whose lungs are known.  The sheets go to docs/images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import matplotlib

matplotlib.use("agg")
import numpy as np
from matplotlib import pyplot as plt

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.lidc import Scan, Series, find_scans
from lungdx_paddle.phantom import true_lung, write_phantom
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume
from lungdx_paddle.preprocess.lungs.paper_steps import lung_steps
from lungdx_paddle.preprocess.window import NAMED_WINDOWS

TILES, COLUMNS = 60, 10
PHANTOM_PATIENTS = 5
IMAGES = Path(__file__).parent / "images"


def slice_by_slice(mask: Callable[[np.ndarray, float], np.ndarray], series: Series) -> np.ndarray:
    spacing_mm = series.spacing_zyx_mm[1]
    return np.stack([mask(series.slice_hu(i), spacing_mm) for i in range(len(series.slices))])


def masks_of(series: Series) -> dict[str, np.ndarray]:
    """(slices, rows, columns) bool by how it was made."""
    return {
        "paper's steps": slice_by_slice(lambda hu, _: lung_steps(hu)["lung"], series),
        "mended, slice by slice": slice_by_slice(lung_mask, series),
        "mended, whole series": lung_volume(series),
    }


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / max(float(a.sum() + b.sum()), 1.0)


def report(scan: Scan, truth: np.ndarray | None) -> Iterator[str]:
    """A row for each kind of mask."""
    nodules = [nodule.consensus_mask(scan.series) for nodule in scan.nodules]
    for name, mask in masks_of(scan.series).items():
        inside = [float(mask[n].mean()) for n in nodules if n.any()]
        same = "-"
        if truth is not None:
            worst = min(dice(m, t) for m, t in zip(mask, truth))
            same = f"{dice(mask, truth):.4f} ({worst:.4f})"
        yield (
            f"| {scan.patient_id} | {name} | {same} | {np.mean(inside):.3f} | {min(inside):.3f} | "
            f"{len(inside)} |"
        )


def sheet(series: Series, path: Path) -> None:
    """Every n-th slice with the outline of its lung mask."""
    lung = lung_volume(series)
    shown = list(range(0, len(lung), -(-len(lung) // TILES)))
    rows = -(-len(shown) // COLUMNS)
    figure, places = plt.subplots(rows, COLUMNS, figsize=(15, 1.55 * rows + 0.5), squeeze=False)
    for axes in places.ravel():
        axes.axis("off")
    center, width = NAMED_WINDOWS["lung"]
    low, high = center - width / 2, center + width / 2
    for axes, index in zip(places.ravel(), shown):
        axes.imshow(series.slice_hu(index)[::2, ::2], cmap="gray", vmin=low, vmax=high)
        axes.set_title(f"z {series.z_mm[index]:.1f} mm", fontsize=7, pad=2)
        outlines, _ = cv2.findContours(
            lung[index].astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        for outline in outlines:
            closed = np.vstack([outline, outline[:1]])[:, 0] / 2
            axes.plot(closed[:, 0], closed[:, 1], color="yellow", linewidth=0.6)
    source = "phantom" if series.patient_id.startswith("PHANTOM") else "CC BY 3.0"
    figure.suptitle(
        f"{series.patient_id} ({source}): lung mask of {len(shown)} of {len(lung)} slices, "
        f"foot to head. {RESEARCH_USE}",
        fontsize=9,
    )
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.5 / (1.55 * rows + 0.5), 0.02, 0.12)
    figure.savefig(path, dpi=100, pil_kwargs={"quality": 80})
    plt.close(figure)


def show_all(scans: Sequence[Scan], truths: Sequence[np.ndarray | None], sheets: int) -> None:
    print("| series | mask | Dice (worst slice) | nodules inside: mean | least | nodules |")
    print("|---|---|--:|--:|--:|--:|")
    for scan, truth in zip(scans, truths):
        print("\n".join(report(scan, truth)), flush=True)
    for scan in scans[:sheets]:
        sheet(scan.series, IMAGES / f"lungs_{scan.patient_id}.jpg")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lidc", type=Path, help="folder of series with their XML")
    args = parser.parse_args(argv)
    if args.lidc:
        scans = find_scans(args.lidc)
        show_all(scans, [None] * len(scans), sheets=len(scans))
        return
    with tempfile.TemporaryDirectory() as folder:
        write_phantom(folder, PHANTOM_PATIENTS)
        truths = [true_lung(patient) for patient in range(PHANTOM_PATIENTS)]
        show_all(find_scans(Path(folder)), truths, sheets=1)


if __name__ == "__main__":
    main()
