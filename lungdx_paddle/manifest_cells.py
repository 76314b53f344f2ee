"""A manifest's columns, and what their cells may hold, whoever wrote them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

CROP_RULES = ("paper", "context")
"""How a crop may be cut: the outline's rectangle, or a square of 32 mm about the middle."""

PUBLIC_SLICES = "lidc-slices"
"""``source`` of crops from the public set of nodule slices."""

STRETCHED = "stretched"
"""``hu_from``, and what gray values are, where each picture of the public set was left as it is:
from its own darkest pixel to its own brightest one, so that no gray means a HU."""


@dataclass(frozen=True)
class ManifestRow:
    """One crop and all that is known of it."""

    image: str
    """Path of an 8-bit grayscale 32x32 JPG, relative to the manifest, with ``/``."""
    patient_id: str
    series_uid: str
    """CT series instance UID, DICOM (0020,000E)."""
    nodule: int
    """Unique within the patient; with patient_id it names a nodule."""
    z_mm: float | None
    """Position of the slice in mm, if known."""
    pixel_spacing_mm: float
    """In-plane spacing of the original slice, DICOM (0028,0030)."""
    scale: float
    """1.0, or the factor by which a nodule of more than 32 pixels was shrunk."""
    window_center: float
    window_width: float
    """The HU window of the 8-bit values."""
    readers: int
    """How many readers outlined the nodule on this slice."""
    malignancy_ratings: tuple[int, ...]
    """Every reader's rating of the nodule, 1 to 5; empty if none rated it."""
    diagnosis: int | None
    """0 unknown, 1 benign, 2 primary, 3 metastatic; None: not diagnosed."""
    primary_site: str
    """The diagnosis table's free text; empty if none."""
    crop: str = "paper"
    """The rule by which it was cut, one of :data:`CROP_RULES`."""
    sop_uid: str = ""
    """SOP instance UID of the slice, DICOM (0008,0018), if known."""
    source: str = ""
    """lidc, lidc-slices (the public set of nodule slices) or phantom; empty: unknown."""
    hu_from: str = ""
    """exact-voi, exact-patch or neighbour: a public slice's calibration; stretched: it has none."""
    diagnosis_method: int | None = None
    """How the patient was diagnosed: 0 unknown, 1 two years without change on images, 2 biopsy,
    3 resection, 4 progression or response; None: not said."""
    nodule_diagnoses: tuple[int, ...] = ()
    """Codes, as ``diagnosis``, of those of the patient's nodules that the table lists: it does
    not say which they are."""
    nodule_methods: tuple[int, ...] = ()
    """How each of these was diagnosed, as ``diagnosis_method``."""
    patient_nodules: int | None = None
    """How many nodules the patient has among the crops that are used; None: to be counted."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further columns, kept as they are."""

    @property
    def nodule_key(self) -> tuple[str, int]:
        """(patient_id, nodule): the name of a nodule in the whole manifest."""
        return self.patient_id, self.nodule

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU."""
        return self.window_center, self.window_width

    @property
    def gray(self) -> str:
        """What the gray values mean: a window in HU, such as ``20/2040 HU``, or ``stretched``."""
        return gray_of(self.window, self.hu_from, self.source)


_FIELDS = [f for f in fields(ManifestRow) if f.name != "extra"]
COLUMNS: tuple[str, ...] = tuple(f.name for f in _FIELDS if f.default is MISSING)
"""The columns that every manifest has, in the order in which they are written."""
OPTIONAL: Mapping[str, object] = {f.name: f.default for f in _FIELDS if f.default is not MISSING}
"""Columns that a manifest may have -> what a missing one or an empty cell means."""

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


def _several(cell: str, low: int, high: int) -> tuple[int, ...]:
    return tuple(_whole(number, low, high) for number in cell.split(";")) if cell else ()


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
    "malignancy_ratings": ("ratings from 1 to 5 joined by ;", lambda c: _several(c, 1, 5)),
    "diagnosis": ("0, 1, 2, 3 or nothing", lambda c: _whole(c, 0, 3) if c else None),
    "primary_site": ("a text", str),
    "crop": (
        f"one of {', '.join(CROP_RULES)}",
        lambda c: _legal(c or "paper", c in ("", *CROP_RULES)),
    ),
    "sop_uid": (f"a UID, {_AS_IT_WAS}", _name),
    "source": ("a text", str),
    "hu_from": ("a text", str),
    "diagnosis_method": ("0, 1, 2, 3, 4 or nothing", lambda c: _whole(c, 0, 4) if c else None),
    "nodule_diagnoses": ("codes from 0 to 3 joined by ;", lambda c: _several(c, 0, 3)),
    "nodule_methods": ("codes from 0 to 4 joined by ;", lambda c: _several(c, 0, 4)),
    "patient_nodules": ("a number from 1 or nothing", lambda c: _whole(c, 1, 10**9) if c else None),
}
"""Column -> what its cells may hold, and what makes a value of one or raises ValueError."""

_TEXTS = "image patient_id series_uid primary_site crop sop_uid source hu_from".split()

NUMBERS = frozenset(CELLS).difference(_TEXTS)
"""Columns in which a decimal comma may stand."""


def gray_of(window: tuple[float, float], hu_from: str, source: str = "") -> str:
    """What gray values mean: the window (centre, width) in HU, or :data:`STRETCHED`."""
    # Without a note crops of the public slices are of a version that knew no calibration.
    if hu_from == STRETCHED or (source == PUBLIC_SLICES and not hu_from):
        return STRETCHED
    return "{:g}/{:g} HU".format(*window)
