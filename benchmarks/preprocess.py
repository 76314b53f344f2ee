"""Benchmark of preprocessing: DICOM to masks, JPG, crops, beside SciPy and scikit-image.

Without --lidc the series is a phantom, made by a program.  All is done on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import measure
import numpy as np

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.lidc import Scan, find_scans, find_series
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume
from lungdx_paddle.preprocess.lungs.paper_steps import (
    SMALLEST_LUNG_PX,
    area_px,
    close,
    fill,
    iterative_threshold,
    lung_steps,
    outlines_of,
)
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.slice_images import write_slice_images
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

PACKAGES = ("numpy", "scipy", "opencv-python-headless", "pydicom", "scikit-image")
ROUNDS = 3
OURS = "ours"

Ways = dict[str, Callable[[], Any]]
"""Package -> the stage as done with it."""


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Time every stage on one series.

    Raises:
        InstallError: scikit-image is not installed.
        LidcError: ``options.lidc`` holds no series with its XML, or several.
    """
    if importlib.util.find_spec("skimage") is None:
        raise InstallError(
            "scikit-image",
            expected="the package beside which the stages are timed",
            found="none installed",
            fix="pip install -e '.[bench]'",
        )
    cv2.setNumThreads(1)
    rounds = 1 if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = options.lidc or _phantom(folder / "phantom", options.quick)
        scans = find_scans(source)
        if len(scans) != 1:
            raise LidcError(
                str(source),
                expected="one CT series and its LIDC XML file",
                found=f"{len(scans)}",
                fix="give the folder of one patient, such as LIDC-IDRI/LIDC-IDRI-0001",
            )
        stages = _reading(source, scans[0]) | _masking(scans[0]) | _whole(source, scans[0], folder)
        slices = len(scans[0].series.slices)
        records = [_stage(name, ways, slices, rounds) for name, ways in stages.items()]
    return {
        "benchmark": "preprocess",
        "data": scans[0].patient_id if options.lidc else "phantom",
        "shape_zyx": list(scans[0].series.shape_zyx),
        "threads": 1,
        "rounds": rounds,
        "machine": measure.machine(*PACKAGES),
        "stages": records,
    }


def _phantom(folder: Path, quick: bool) -> Path:
    from lungdx_paddle.phantom import PhantomSettings, write_phantom

    rows, slices = (128, 6) if quick else (512, 32)
    write_phantom(folder, patients=1, jobs=1, settings=PhantomSettings(rows=rows, slices=slices))
    return folder


def _stage(name: str, ways: Ways, slices: int, rounds: int) -> dict[str, Any]:
    """Ours a slice, and each other package's time as a multiple of it."""
    timings = measure.interleaved(ways, rounds)
    ours = timings.pop(OURS)
    beside = {}
    for other, timing in timings.items():
        # Dice of two lists of masks, or the part of the values in which they agree.
        a, b = np.asarray(ours.result), np.asarray(timing.result)
        both = int(a.sum()) + int(b.sum()) if a.dtype == bool else 0
        same = 2 * int((a & b).sum()) / both if both else float((a == b).mean())
        beside[other] = {"times_ours": timing.times(ours), "same": same}
    return {
        "stage": name,
        "ms_per_slice": 1000 * ours.median_s / slices,
        "slices_per_s": slices / ours.median_s,
        "beside": beside,
    }


def _reading(source: Path, scan: Scan) -> dict[str, Ways]:
    from other_packages import pydicom_headers, pydicom_hu

    files = [s.file for s in scan.series.slices]
    return {
        "headers": {
            OURS: lambda: find_series(source)[0][0].sop_uids,
            "pydicom": lambda: pydicom_headers(files),
        },
        "pixels to HU": {OURS: scan.series.volume_hu},
        "headers, and pixels to HU": {
            OURS: lambda: find_series(source)[0][0].volume_hu(),
            "pydicom": lambda: pydicom_hu(files),
        },
    }


def _masking(scan: Scan) -> dict[str, Ways]:
    import other_packages

    series, spacing_mm = scan.series, scan.series.spacing_zyx_mm[1]
    hu = list(series.volume_hu())
    steps = [lung_steps(one) for one in hu]
    tissues, lungs = ([step[name] for step in steps] for name in ("tissue", "parenchyma"))

    def each(step: Callable[[Any], Any], inputs: Sequence[Any]) -> Callable[[], list[Any]]:
        return lambda: [step(one) for one in inputs]

    def beside(name: str, step: Callable[[Any], Any], inputs: Sequence[Any]) -> Ways:
        scipy, skimage = (getattr(other_packages, f"{p}_{name}") for p in ("scipy", "skimage"))
        return {
            OURS: each(step, inputs),
            "SciPy": each(scipy, inputs),
            "scikit-image": each(skimage, inputs),
        }

    return {
        "window and threshold": beside("tissue", _tissue, hu),
        "areas and their holes": beside("areas", _parenchyma, tissues),
        "closing": beside("closing", lambda lung: close(lung.view(np.uint8)) > 0, lungs),
        "the paper's lung mask, these three": beside("lung", lambda h: lung_steps(h)["lung"], hu),
        "our lung mask, slice by slice": {OURS: each(lambda h: lung_mask(h, spacing_mm), hu)},
        "pixels to HU, and our lung mask of the series": {OURS: lambda: lung_volume(series)},
    }


def _tissue(hu: np.ndarray) -> np.ndarray:
    gray = apply_window(hu, *DEFAULT_WINDOW)
    return gray >= iterative_threshold(gray)


def _parenchyma(tissue: np.ndarray) -> np.ndarray:
    """As in :func:`lung_steps`, from tissue to parenchyma."""
    tissue = tissue.view(np.uint8)
    body = fill(sorted(outlines_of(tissue), key=area_px)[-1:], tissue.shape)
    lungs = [o for o in outlines_of(body & (1 - tissue)) if area_px(o) >= SMALLEST_LUNG_PX]
    return fill(lungs, tissue.shape).view(bool)


def _whole(source: Path, scan: Scan, folder: Path) -> dict[str, Ways]:
    """The commands, each time into a new folder."""

    def into_new_folder(write: Callable[..., Any], **options: Any) -> None:
        out = tempfile.mkdtemp(dir=folder)
        with contextlib.redirect_stderr(io.StringIO()):  # the progress bar
            write(source, Path(out), **options)

    def masks_and_crops() -> None:
        lung_volume(scan.series)
        into_new_folder(preprocess)

    return {
        "DICOM and XML to crops": {OURS: lambda: into_new_folder(preprocess)},
        "DICOM to JPG of every slice": {OURS: lambda: into_new_folder(write_slice_images)},
        "DICOM to JPG, lung mask and parenchyma": {
            OURS: lambda: into_new_folder(write_slice_images, lungs="corrected")
        },
        "all: DICOM to masks of every slice, and crops": {OURS: masks_and_crops},
    }


def table(record: dict[str, Any]) -> str:
    rows = []
    for stage in record["stages"]:
        beside = stage["beside"]
        others = (beside.get("pydicom") or beside.get("SciPy"), beside.get("scikit-image"))
        same = ["yes" if o["same"] == 1 else f"{o['same']:.6f}" for o in beside.values()]
        rows.append(
            [
                stage["stage"],
                f"{stage['ms_per_slice']:.2f}",
                f"{stage['slices_per_s']:.0f}",
                *(f"{other['times_ours']:.1f} x" if other else "-" for other in others),
                ", ".join(same) or "-",
            ]
        )
    slices, height, width = record["shape_zyx"]
    head = ("stage", "ms/slice", "slices/s", "pydicom, SciPy", "scikit-image", "same result")
    about = (
        f"Data: {record['data']}, {slices} slices of {height}x{width}; "
        f"one thread, median of {record['rounds']} interleaved rounds"
    )
    return measure.page(about, record["machine"], head, rows)


main = measure.command(__doc__, "preprocess.py --lidc LIDC-IDRI/LIDC-IDRI-0001", benchmark, table)

if __name__ == "__main__":
    cli.run(main)
