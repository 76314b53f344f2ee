"""The stages of the preprocessing, each beside the same step in other packages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counterparts
import numpy as np
from timing import Timing, interleaved

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Scan, find_annotations, find_scans, find_series
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
from lungdx_paddle.preprocess.resume import PHANTOM_PREFIX, store_part
from lungdx_paddle.preprocess.series import crop_series
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window

Ways = dict[str, Callable[[], Any]]
"""Package -> the stage as done with it."""

OURS = "ours"


@dataclass(frozen=True, eq=False)
class Subject:
    """The scan that is worked on."""

    source: Path
    scan: Scan
    hu: list[np.ndarray]
    crops: int

    @property
    def is_phantom(self) -> bool:
        return self.scan.patient_id.startswith(PHANTOM_PREFIX)


def load(source: Path) -> Subject:
    """Read the one series of ``source``.

    Raises:
        LidcError: there are none or several, or no XML of it.
    """
    scans = find_scans(source)
    if len(scans) != 1:
        raise LidcError(
            str(source),
            expected="one CT series and its LIDC XML file",
            found=f"{len(scans)}",
            fix="give the folder of one patient, such as LIDC-IDRI/LIDC-IDRI-0001",
        )
    crops = len(crop_series(scans[0], DEFAULT_WINDOW).crops)
    return Subject(source, scans[0], list(scans[0].series.volume_hu()), crops)


def time_stages(subject: Subject, folder: Path, rounds: int) -> list[dict[str, Any]]:
    """A record of each stage: ours a slice, and each other package's time as a multiple of it."""
    records = []
    for name, ways in {**reading(subject), **masking(subject), **whole(subject, folder)}.items():
        timings = interleaved(ways, rounds)
        ours = timings.pop(OURS)
        slices = len(subject.hu)
        records.append(
            {
                "stage": name,
                "ms_per_slice": 1000 * ours.median_s / slices,
                "slices_per_s": slices / ours.median_s,
                "beside": {
                    other: {"times_ours": timing.times(ours), "same": same(ours, timing)}
                    for other, timing in timings.items()
                },
            }
        )
    return records


def reading(subject: Subject) -> dict[str, Ways]:
    files = [s.file for s in subject.scan.series.slices]
    source, volume_hu = subject.source, subject.scan.series.volume_hu
    return {
        "headers": {
            OURS: lambda: find_series(source)[0][0].sop_uids,
            "pydicom": lambda: counterparts.pydicom_headers(files),
        },
        "pixels to HU": {OURS: volume_hu},
        "headers, and pixels to HU": {
            OURS: lambda: find_series(source)[0][0].volume_hu(),
            "pydicom": lambda: counterparts.pydicom_hu(files),
        },
    }


def masking(subject: Subject) -> dict[str, Ways]:
    steps = [lung_steps(hu) for hu in subject.hu]
    tissues = [step["tissue"] for step in steps]
    lungs = [step["parenchyma"] for step in steps]
    hu, theirs = subject.hu, counterparts
    series = subject.scan.series
    spacing_mm = series.spacing_zyx_mm[1]
    return {
        "window and threshold": {
            OURS: each(tissue_of, hu),
            "SciPy": each(theirs.scipy_tissue, hu),
            "scikit-image": each(theirs.skimage_tissue, hu),
        },
        "areas and their holes": {
            OURS: each(areas_of, tissues),
            "SciPy": each(theirs.scipy_areas, tissues),
            "scikit-image": each(theirs.skimage_areas, tissues),
        },
        "closing": {
            OURS: each(closing_of, lungs),
            "SciPy": each(theirs.scipy_closing, lungs),
            "scikit-image": each(theirs.skimage_closing, lungs),
        },
        "the paper's lung mask, these three": {
            OURS: each(lambda one: lung_steps(one)["lung"], hu),
            "SciPy": each(theirs.scipy_lung, hu),
            "scikit-image": each(theirs.skimage_lung, hu),
        },
        "our lung mask, slice by slice": {OURS: each(lambda one: lung_mask(one, spacing_mm), hu)},
        "pixels to HU, and our lung mask of the series": {OURS: lambda: lung_volume(series)},
    }


def whole(subject: Subject, folder: Path) -> dict[str, Ways]:
    def crops() -> None:
        annotations = find_annotations(subject.source)[0][subject.scan.series.series_uid]
        store_crops(Scan(subject.scan.series, annotations))

    def everything() -> None:
        (scan,) = find_scans(subject.source)
        lung_volume(scan.series)
        store_crops(scan)

    def store_crops(scan: Scan) -> None:
        store_part(folder / "crops", scan.series, crop_series(scan, DEFAULT_WINDOW), "")

    return {
        "XML to nodules, crops and JPG": {OURS: crops},
        "all: DICOM to masks of every slice, and crops": {OURS: everything},
    }


def tissue_of(hu: np.ndarray) -> np.ndarray:
    gray = apply_window(hu, *DEFAULT_WINDOW)
    return gray >= iterative_threshold(gray)


def areas_of(tissue: np.ndarray) -> np.ndarray:
    """As in :func:`lung_steps`, from tissue to parenchyma."""
    tissue = tissue.view(np.uint8)
    body = fill(sorted(outlines_of(tissue), key=area_px)[-1:], tissue.shape)
    lungs = [o for o in outlines_of(body & (1 - tissue)) if area_px(o) >= SMALLEST_LUNG_PX]
    return fill(lungs, tissue.shape).view(bool)


def closing_of(lung: np.ndarray) -> np.ndarray:
    return close(lung.view(np.uint8)) > 0


def each(step: Callable[[Any], Any], inputs: Sequence[Any]) -> Callable[[], list[Any]]:
    return lambda: [step(one) for one in inputs]


def same(ours: Timing, theirs: Timing) -> float:
    """Dice of two lists of masks, or the part of the values in which they agree."""
    a, b = np.asarray(ours.result), np.asarray(theirs.result)
    if a.dtype != bool:
        return float((a == b).mean())
    both = int(a.sum()) + int(b.sum())
    return 2 * int((a & b).sum()) / both if both else 1.0
