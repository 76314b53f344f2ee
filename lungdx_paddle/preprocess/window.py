"""HU -> 8-bit gray values through a window."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.manifest_cells import WINDOW_WIDTH_HU

Window = tuple[float, float]
"""(centre, width) in HU."""

DEFAULT_WINDOW: Window = (20.0, 2040.0)
"""Eight HU a gray level, gray = HU / 8 + 125: all from air to bone."""

HEADER = "header"
"""Name of the choice: each series' own window, DICOM (0028,1050) and (0028,1051)."""

HU_OF_CT = (-1024.0, 3071.0)
"""What 12 bits hold: a window that shows nothing of it makes every crop one gray."""

LUNG_HU = -850.0
"""Of aerated lung between its vessels."""

NAMED_WINDOWS: Mapping[str, Window] = MappingProxyType({"lung": (-600.0, 1500.0)})
"""Windows with a name, for ``--window``."""

_error = partial(
    LidcError,
    expected="centre,width in HU with a width of {:g} to {:g}, or one of ".format(*WINDOW_WIDTH_HU)
    + ", ".join((HEADER, *NAMED_WINDOWS)),
    fix="use 20,2040 unless you have a reason",
)


def apply_window(hu: np.ndarray, center: float, width: float) -> np.ndarray:
    """Map HU to gray values: black at ``center - width / 2``, white at ``center + width / 2``.

    Linear between the two, clipped beyond, rounded to the nearest value, halves up.
    This is DICOM's VOI LUT function LINEAR_EXACT (PS3.3, C.11.2.1.3.2).

    Args:
        hu: any shape, any real type.
        center: of the window, in HU.
        width: of the window, in HU, within :data:`WINDOW_WIDTH_HU`.

    Returns:
        uint8 of the same shape.

    Raises:
        LidcError: the window shows nothing of a CT.
    """
    _check(center, width, f"window {center:g},{width:g}")
    gray = hu.astype(np.float32)
    gray -= np.float32(center - width / 2)
    gray *= np.float32(255.0 / width)
    gray += np.float32(0.5)
    return np.clip(gray, 0, 255, out=gray).astype(np.uint8)


def parse_window(text: str) -> Window | None:
    """Read ``20,2040``, ``lung`` or ``header``; None stands for header.

    Raises:
        LidcError: it is none of these, or shows nothing of a CT.
    """
    if text == HEADER:
        return None
    if text in NAMED_WINDOWS:
        return NAMED_WINDOWS[text]
    where = f"window {text!r}"
    try:
        center, width = (float(part) for part in text.split(","))
    except ValueError:
        raise _error(where, found=repr(text)) from None
    _check(center, width, where)
    return center, width


def _check(center: float, width: float, where: str) -> None:
    if not WINDOW_WIDTH_HU[0] <= width <= WINDOW_WIDTH_HU[1]:
        raise _error(where, found=f"a width of {width:g}")
    darkest, brightest = HU_OF_CT
    if not darkest - width / 2 < center < brightest + width / 2:
        raise _error(where, found=f"one that shows nothing from {darkest:g} to {brightest:g} HU")
