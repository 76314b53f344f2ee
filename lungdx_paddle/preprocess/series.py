"""One CT series and what its readers marked -> the crops of its nodules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Nodule, Scan, Series
from lungdx_paddle.preprocess.crop import crop_nodule
from lungdx_paddle.preprocess.lungs.lung_mask import lung_mask
from lungdx_paddle.preprocess.window import Window, apply_window


@dataclass(frozen=True, eq=False)
class Crop:
    """One nodule on one slice."""

    nodule: Nodule
    index: int
    """Of the slice in its series."""
    readers: int
    """How many readers outlined the nodule on this slice."""
    image: np.ndarray
    """(32, 32) uint8."""
    scale: float
    """1.0, or the factor by which the nodule was shrunk."""
    in_lung: float
    """The part of the nodule's pixels that lies in the lung mask of its slice."""


@dataclass(frozen=True, eq=False)
class SeriesCrops:
    """All that one series gives."""

    nodules: tuple[Nodule, ...]
    crops: tuple[Crop, ...]
    """By nodule, then from foot to head."""
    window: Window
    """(centre, width) in HU of the crops' gray values."""
    missing: dict[str, float]
    """Outlined slices that the series does not hold: SOP instance UID -> z in mm."""
    unenclosed: int
    """Outlines left out because no pixel is enclosed by half of the slice's readers."""


def crop_series(scan: Scan, window: Window | None) -> SeriesCrops:
    """Cut every nodule out of every slice on which a reader outlined it.

    The crop follows the area that at least half of the slice's readers enclosed.  Each
    slice is read once and let go, so that memory does not grow with the series.

    Args:
        scan: the slices and the readers' marks on them.
        window: (centre, width) in HU, or None for the one in the series' header.

    Raises:
        LidcError: a slice cannot be read, or the header has no window.
    """
    series, nodules = scan.series, scan.nodules
    window = window or _header_window(series)
    wanted, missing = _find_slices(series, nodules)
    crops: list[Crop] = []
    outlines = 0
    for index, here in sorted(wanted.items()):
        outlines += len(here)
        crops.extend(_crop_slice(series, index, here, window))
    crops.sort(key=lambda crop: (crop.nodule.number, crop.index))
    return SeriesCrops(nodules, tuple(crops), window, missing, outlines - len(crops))


def _header_window(series: Series) -> Window:
    if series.header_window is None:
        raise LidcError(
            f"series {series.series_uid}",
            expected="a window in the DICOM header",
            found="none",
            fix="give a window in HU, such as 20,2040",
        )
    return series.header_window


def _find_slices(
    series: Series, nodules: Sequence[Nodule]
) -> tuple[dict[int, list[Nodule]], dict[str, float]]:
    wanted: dict[int, list[Nodule]] = {}
    missing: dict[str, float] = {}
    for nodule in nodules:
        for sop_uid in nodule.sop_uids:
            index = series.index_of(sop_uid)
            if index is None:
                missing[sop_uid] = nodule.z_mm[sop_uid]
            else:
                wanted.setdefault(index, []).append(nodule)
    return wanted, missing


def _crop_slice(series: Series, index: int, nodules: list[Nodule], window: Window) -> list[Crop]:
    hu = series.slice_hu(index)
    gray, lung = apply_window(hu, *window), lung_mask(hu, series.spacing_zyx_mm[1])
    sop_uid = series.sop_uids[index]
    crops = []
    for nodule in nodules:
        mask = nodule.majority_mask(sop_uid, gray.shape)
        if not mask.any():
            continue
        image, scale = crop_nodule(gray, mask)
        in_lung = float(lung[mask].mean())
        crops.append(Crop(nodule, index, nodule.readers_on(sop_uid), image, scale, in_lung))
    return crops
