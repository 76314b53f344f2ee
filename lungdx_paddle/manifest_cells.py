"""What the cells of a manifest's columns may hold, as preprocessing or a spreadsheet wrote them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

CROP_RULES = ("paper", "context")
"""How a crop may be cut: the outline's rectangle, or a square of 32 mm about the middle."""

NO_VALUE = frozenset(("nan", "NaN", "NAN", "None", "NA", "N/A", "<NA>", "#N/A", "null", "NULL"))
"""How pandas, R and spreadsheets write an empty cell."""

SPACING_MM = (0.1, 5)
"""Chest CT has 0.15 to 2; less is in cm (LIDC: 0.046 to 0.098), and 703125 has lost its point."""

WINDOW_WIDTH_HU = (1, 10**5)
"""DICOM has no narrower window (PS3.3, C.11.2.1.2), and CT no values so far apart."""

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE]-[0-9]+)?")
"""1E+05 is what a spreadsheet shows of 123456."""

THOUSANDS = re.compile(r"[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+")
"""Beside decimal commas 2.040 may be 2040."""

_MONTH = "(Jan|Feb|Mar|Mrz|Apr|May|Mai|Jun|Jul|Aug|Sep|Oct|Okt|Nov|Dec|Dez)"
_REWRITTEN = re.compile(
    rf"[0-9]([.,][0-9]+)?E\+[0-9]+|[0-9]{{1,2}}[-.] ?{_MONTH}([-. ][0-9]+)?|{_MONTH}[- ][0-9]{{2}}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2} 00:00:00"
)
"""A name that a spreadsheet took for a number or a date: 1.23E+05, 2-Jan, Jan-02."""


def _legal(value: Any, is_legal: bool) -> Any:
    if not is_legal:
        raise ValueError
    return value


def _number(cell: str, low: float = -math.inf, high: float = math.inf) -> float:
    _legal(cell, _NUMBER.fullmatch(cell) is not None)  # float() reads 1_0 and nan too
    number = float(cell)
    return float(_legal(number, low <= number <= high and math.isfinite(number)))


def _whole(cell: str, low: int, high: int) -> int:
    number = _number(cell)  # pandas writes 2.0 where a column has empty cells too
    return int(_legal(number, number.is_integer() and low <= number <= high))


def _image(cell: str) -> str:
    path = cell.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    is_below = not path.startswith("/") and ".." not in parts and ":" not in "".join(parts[:1])
    return "/".join(_legal(parts, bool(parts) and is_below))


def _name(cell: str) -> str:
    return str(_legal(cell, _REWRITTEN.fullmatch(cell) is None))


_AS_IT_WAS = "no number or date that a spreadsheet made of one"

CELLS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "image": ("a path below the manifest's folder", _image),
    "patient_id": (f"a name, {_AS_IT_WAS}", lambda c: _legal(_name(c), c != "")),
    "series_uid": (f"a UID, {_AS_IT_WAS}", _name),
    "nodule": ("a whole number from 0", lambda c: _whole(c, 0, 10**9)),
    "z_mm": ("a position in mm or nothing", lambda c: _number(c) if c else None),
    "pixel_spacing_mm": (
        f"a spacing in mm from {SPACING_MM[0]} to {SPACING_MM[1]}",
        lambda c: _number(c, *SPACING_MM),
    ),
    "scale": ("a factor above 0 and up to 1", lambda c: _legal(_number(c, 0, 1), float(c) > 0)),
    "window_center": ("a HU value", _number),
    "window_width": (
        f"a width in HU from {WINDOW_WIDTH_HU[0]} to {WINDOW_WIDTH_HU[1]}",
        lambda c: _number(c, *WINDOW_WIDTH_HU),
    ),
    "readers": ("a number of readers from 1 to 100", lambda c: _whole(c, 1, 100)),
    "malignancy_ratings": (
        "ratings from 1 to 5 joined by ;",
        lambda c: tuple(_whole(rating, 1, 5) for rating in c.split(";")) if c else (),
    ),
    "diagnosis": ("0, 1, 2, 3 or nothing", lambda c: _whole(c, 0, 3) if c else None),
    "primary_site": ("a text", str),
    "crop": (
        f"one of {', '.join(CROP_RULES)}",
        lambda c: _legal(c or "paper", c in ("", *CROP_RULES)),
    ),
    "sop_uid": (f"a UID, {_AS_IT_WAS}", _name),
    "source": ("a text", str),
}
"""Column -> what its cells may hold, and what makes a value of one or raises ValueError."""

_TEXTS = ("image", "patient_id", "series_uid", "primary_site", "crop", "sop_uid", "source")

NUMBERS = frozenset(CELLS).difference(_TEXTS)
"""Columns in which a decimal comma may stand."""
