"""Progress of long work: bars on stderr, and one logger for the lines between them."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

log = logging.getLogger("lungdx_paddle")
"""Lines about what is being done, at level INFO; a command shows them, a library user may."""

ON_SCREEN_S, IN_A_FILE_S = 0.2, 10.0
"""Seconds between two looks of a bar; in a log file each look is a line."""


shown = True
"""Whether bars are drawn; the log of a service is for lines."""


def bar(iterable: Iterable[Any] | None = None, **options: Any) -> Any:
    """A tqdm bar on stderr, drawn often on a screen and seldom into a log file.

    Args:
        iterable: what is iterated over; None: the bar is moved by ``update``.
        options: tqdm's own, such as total, desc and unit.
    """
    on_screen = sys.stderr.isatty()
    every = ON_SCREEN_S if on_screen else IN_A_FILE_S
    if not shown:
        options["disable"] = True
    looks: dict[str, Any] = {"mininterval": every, "maxinterval": every, "dynamic_ncols": True}
    if on_screen and not os.get_terminal_size(sys.stderr.fileno()).columns:  # as in a container
        looks |= {"ncols": 80, "nrows": 24, "dynamic_ncols": False}
    return tqdm(iterable, **{**looks, **options})
