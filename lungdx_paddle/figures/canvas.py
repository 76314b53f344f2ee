"""Shared by all figures: saving, rendering to pixels, a slice in the lung window."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text

from lungdx_paddle.files import write_together
from lungdx_paddle.preprocess.window import NAMED_WINDOWS

LUNG_CENTRE, LUNG_WIDTH = NAMED_WINDOWS["lung"]
BLACK_HU = LUNG_CENTRE - LUNG_WIDTH / 2

PHANTOM_DATA = "PHANTOM data"
"""Stands in the title of what was made from a phantom."""


def save_figure(figure: Figure, path: Path, dots_per_inch: int = 100) -> Path:
    """Write a figure as PNG, or as JPG if ``path`` ends so, and return the path.

    Raises:
        OutputError: it cannot be written.
    """
    _make_drawable(figure)
    more: dict[str, Any] = {"format": path.suffix[1:]}
    if path.suffix == ".jpg":
        more["pil_kwargs"] = {"quality": 80}
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=dots_per_inch, **more)
    write_together({path: drawn.getvalue()})
    return path


def pixels(figure: Figure) -> np.ndarray:
    """Render a figure to (rows, columns, 3) uint8 RGB, for loggers that take arrays."""
    _make_drawable(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def show_slice(axes: Axes, hu: np.ndarray, title: str) -> None:
    """Show (rows, columns) HU in the lung window, without ticks."""
    axes.imshow(hu, cmap="gray", vmin=BLACK_HU, vmax=BLACK_HU + LUNG_WIDTH)
    axes.set_title(title, fontsize=9)
    axes.set(xticks=[], yticks=[])


def _make_drawable(figure: Figure) -> None:
    """Take texts literally, and write ``?`` for letters of a path that the font does not have.

    Otherwise ``$`` would begin a formula, and a missing letter costs a warning each time.
    """
    for text in figure.findobj(Text):
        if text.get_text().startswith(r"$\mathdefault"):  # an axis writes its powers so
            continue
        font = get_font(findfont(text.get_fontproperties()))
        letters = (c if c == "\n" or font.get_char_index(ord(c)) else "?" for c in text.get_text())
        text.set_text("".join(letters))
        text.set_parse_math(False)
