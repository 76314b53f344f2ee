"""One CT series and its readers' marks -> the crops of its nodules."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Nodule, Scan, Series
from lungdx_paddle.lidc.dicom import SAME_SPACING
from lungdx_paddle.lidc.pixels import AIR_HU
from lungdx_paddle.preprocess.crop import PAPER, make_crop
from lungdx_paddle.preprocess.crop_files import Crop
from lungdx_paddle.preprocess.window import Window, apply_window


@dataclass(frozen=True, eq=False)
class SeriesCrops:
    """The crops of one series, and the outlines without one."""

    nodules: tuple[Nodule, ...]
    crops: tuple[Crop, ...]
    """By nodule, then from the caudal end."""
    window: Window
    """(centre, width) in HU of the crops' gray values."""
    missing: dict[str, float | None]
    """Outlined slices that the series does not hold: SOP instance UID -> z in mm, if known."""
    unenclosed: int
    """Outlines left out because no pixel is enclosed by half of the slice's readers."""
    warnings: tuple[str, ...]
    """What is unusual about the series, its marks and its pixels."""


def crop_series(scan: Scan, window: Window | None, rule: str = PAPER) -> SeriesCrops:
    """Cut every nodule out of every slice on which a reader outlined it.

    A crop follows the area that at least half of the slice's readers enclosed.  Each slice
    is read once and let go, so that memory does not grow with the series.

    Args:
        scan: the slices and the readers' marks on them.
        window: (centre, width) in HU, or None for the one in the series' header.
        rule: one of :data:`~lungdx_paddle.manifest.CROP_RULES`.

    Raises:
        LidcError: a slice cannot be read, or the header has no window.
    """
    series = scan.series
    window = window or header_window(series)
    outlined: dict[int, list[Nodule]] = {}
    missing: dict[str, float | None] = {}
    for nodule in scan.nodules:
        for sop_uid in nodule.sop_uids:
            index = series.index_of(sop_uid)
            if index is None:
                missing[sop_uid] = nodule.z_mm.get(sop_uid)
            else:
                outlined.setdefault(index, []).append(nodule)
    crops: list[Crop] = []
    air = int(apply_window(np.array(AIR_HU), *window))
    for index, nodules in sorted(outlined.items()):
        gray = apply_window(series.slice_hu(index), *window)
        sop_uid, z_mm = series.sop_uids[index], float(series.z_mm[index])
        for nodule in nodules:
            mask = nodule.majority_mask(sop_uid, gray.shape)
            if mask.any():
                image, scale = make_crop(gray, mask, series.spacing_zyx_mm[1:], rule, air)
                crops.append(Crop(nodule, sop_uid, index, z_mm, image, scale, rule))
    crops.sort(key=lambda crop: (crop.nodule.number, crop.index))
    unenclosed = sum(map(len, outlined.values())) - len(crops)
    warnings = (*scan.warnings, *_squeezed(series, rule))
    return SeriesCrops(scan.nodules, tuple(crops), window, missing, unenclosed, warnings)


def _squeezed(series: Series, rule: str) -> list[str]:
    """That the shape of what a crop shows is not that of the nodule."""
    _, row_mm, column_mm = series.spacing_zyx_mm
    if rule != PAPER or math.isclose(row_mm, column_mm, rel_tol=SAME_SPACING):
        return []
    return [
        f"pixels of {row_mm:.4g} x {column_mm:.4g} mm (rows x columns): the crops of this series "
        "are squeezed, since the paper's rule keeps pixels as they are"
    ]


def header_window(series: Series) -> Window:
    """(centre, width) in HU of a series' DICOM header.

    Raises:
        LidcError: it has none.
    """
    if series.header_window is None:
        raise LidcError(
            f"series {series.series_uid}",
            expected="a window in the DICOM header",
            found="none",
            fix="give a window in HU, such as 20,2040",
        )
    return series.header_window
