"""Mosaic of crops, each with its labels and predictions.

Drawn with OpenCV in milliseconds, so that a training can show it at every row.
"""

from __future__ import annotations

import cv2
import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.manifest import CROP_SIZE

CROPS = 12
"""How many are shown: three rows of four."""

_COLUMNS, _ZOOM, _WIDTH, _LINE, _MARGIN = 4, 4, 250, 18, 8
"""Tiles a row; then in pixels: of a crop's pixel, a tile's width, a line of text, a gap."""

_BLACK, _GRAY, _GREEN, _RED = (0, 0, 0), (110, 110, 110), (0, 120, 0), (190, 0, 0)
_LETTERS = 0.42
"""Size of the letters; a longer line is written smaller."""


def draw_crops(predictions: Predictions) -> np.ndarray:
    """Draw a mosaic of crops with labels and predictions: (rows, columns, 3) uint8 RGB.

    The crops are the same at each call and spread over the dataset; they are taken from those
    with a label for every task, if there are enough.
    A prediction is green where it is the label, red where it is not, gray without a label.

    Args:
        predictions: of at least one crop, with images.

    Raises:
        ValueError: there are no images.
    """
    if predictions.images is None:
        raise ValueError("predictions without images")
    side, tiles = CROP_SIZE * _ZOOM, []
    for i in chosen(predictions).tolist():
        lines = []
        for task, names in predictions.label_set.task_classes.items():
            label, p = int(predictions.labels[task][i]), predictions.probabilities[task][i]
            best = int(p.argmax())
            color = _GRAY if label < 0 else _GREEN if best == label else _RED
            lines.append((f"{task}: {names[label] if label >= 0 else 'no label'}", _BLACK))
            lines.append((f"predicted: {names[best]} ({100 * p[best]:.0f} %)", color))
        tile = np.full((_MARGIN + side + len(lines) * _LINE + _MARGIN, _WIDTH, 3), 255, np.uint8)
        large = cv2.resize(predictions.images[i], (side, side), interpolation=cv2.INTER_NEAREST)
        tile[_MARGIN : _MARGIN + side, _MARGIN : _MARGIN + side] = large[..., None]
        for number, (text, color) in enumerate(lines, start=1):
            _write(tile, text, _MARGIN + side + number * _LINE - 3, color)
        tiles.append(tile)
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    strip = np.full((_LINE + _MARGIN, rows[0].shape[1], 3), 255, np.uint8)
    _write(strip, f"label and prediction; {RESEARCH_USE}", _LINE, _GRAY)
    return np.vstack([*rows, strip])


def chosen(predictions: Predictions) -> np.ndarray:
    """(n,) indices of the crops that :func:`draw_crops` shows, CROPS or all if fewer."""
    labels = np.stack(list(predictions.labels.values()))
    labelled = np.flatnonzero((labels >= 0).all(axis=0))
    candidates = labelled if len(labelled) >= CROPS else np.arange(labels.shape[1])
    places = np.linspace(0, len(candidates) - 1, min(CROPS, len(candidates)))
    return np.asarray(candidates[places.astype(int)])


def _write(image: np.ndarray, text: str, bottom: int, color: tuple[int, int, int]) -> None:
    room = image.shape[1] - 2 * _MARGIN
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, _LETTERS, 1)
    size = _LETTERS * min(1.0, room / width)
    place = (_MARGIN, bottom)
    cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, color, 1, cv2.LINE_AA)
