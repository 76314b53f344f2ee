"""Where a nodule is in a CT: the series that is meant, a point in it, a place in the patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.lidc import Series, Skipped, find_series
from lungdx_paddle.preprocess.report import check_found
from lungdx_paddle.words import count_of

Point = tuple[float, float, int]
"""Column and row of a pixel, from 0, and the slice's index, from 0 at the caudal end."""

MOST_LISTED = 8
"""Series that an error lists; a study has a handful."""

HARMLESS = ("no DICOM file", "no CT slice", "a localizer")
"""How the reasons begin for which a file beside a series is left out without a warning."""


def parse_point(text: str) -> Point:
    """Read a point written as ``x,y,slice_index``.

    Raises:
        ConfigError: it is written otherwise.
    """
    try:
        x, y, index = text.split(",")
        return float(x), float(y), int(index)
    except ValueError:
        raise ConfigError(
            f"--nodule {text}",
            expected="x,y,slice_index",
            found=repr(text),
            fix="write for example --nodule 312,360,87",
        ) from None


def one_series(folder: Path, uid: str = "", described: str = "") -> tuple[Series, tuple[str, ...]]:
    """The axial CT series of a folder that is meant, and what is unusual about it.

    Args:
        folder: folder or zip archive of DICOM files.
        uid: its series instance UID, or the end of it that no other one has; empty: the folder
            holds one series.
        described: the UID that an XML file names, and the file's name behind it.

    Returns:
        The series, and the warnings of the series and of the files that were left out.

    Raises:
        LidcError: it is not there, several fit, or its slices are not axial.
    """
    found, skipped = find_series(folder)
    fix = "give the folder or the zip archive of a CT"
    check_found(folder, found, skipped, expected="the slices of a CT series", fix=fix)
    fitting = [series for series in found if series.series_uid == uid]
    if not (fitting or described):
        fitting = [series for series in found if series.series_uid.endswith(uid)]
    if len(fitting) != 1:
        expected, fix, other = "one CT series", "choose one by --series-uid UID", ""
        if described:
            expected, other = f"the series {uid} that {described} describes", "other "
            fix = f"give the folder and the XML file of one and the same CT, or {fix}"
        elif uid:
            expected = f"one series whose UID is, or ends in, {uid}"
        few = fitting or found
        listed = "; ".join(map(_described, few[:MOST_LISTED]))
        more = f"; and {len(few) - MOST_LISTED} more" if len(few) > MOST_LISTED else ""
        there = f"{len(few)} {other}series: {listed}{more}"
        raise LidcError(str(folder), expected=expected, found=there, fix=fix)
    (series,) = fitting
    if series.plane != "axial":
        raise LidcError(
            f"series {series.series_uid}",
            expected="axial slices, the only ones that the model knows",
            found=f"{series.plane} ones, of a reformatted series",
            fix="give the axial series of the study",
        )
    return series, (*series.warnings, *_left_out(skipped))


def _described(series: Series) -> str:
    slices, rows, columns = series.shape_zyx
    step_mm = series.spacing_zyx_mm[0]
    return (
        f"{series.series_uid} ({slices} {series.plane} slices of {columns}x{rows} pixels, "
        f"{step_mm:.4g} mm apart)"
    )


def _left_out(skipped: Sequence[Skipped]) -> list[str]:
    """A warning of files that may be slices: without them the others are counted wrongly."""
    damaged = [file for file in skipped if not file.reason.startswith(HARMLESS)]
    if not damaged:
        return []
    first = f"such as {Path(damaged[0].path).name}: {damaged[0].reason}"
    return [f"{count_of(len(damaged), 'file')} beside the slices left out, {first}"]


def place_mm(series: Series, index: int, mask: np.ndarray) -> list[float]:
    """Middle [x, y, z] of a slice's mask in patient coordinates (DICOM PS3.3 C.7.6.2.1.1)."""
    slice_ = series.slices[index]
    row, column = np.argwhere(mask).mean(axis=0)
    between_rows, between_columns = slice_.pixel_spacing_mm
    along_row = np.array(slice_.orientation[:3]) * column * between_columns
    along_column = np.array(slice_.orientation[3:]) * row * between_rows
    place = np.array(slice_.position_mm) + along_row + along_column
    return [round(float(value), 2) for value in place]
