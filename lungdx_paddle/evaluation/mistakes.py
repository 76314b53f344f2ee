"""The worst answers of a set of predictions, for people to look at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.slice_weights import slice_weights

MOST = 8
"""How many are shown: two rows of pictures, which a page has room for."""


def worst_mistakes(predictions: Predictions, task: str, most: int = MOST) -> Predictions:
    """The nodules that were answered worst, the worst first, at most one of a patient.

    Malignancy: those whose level is furthest off, of these the ones whose own level was given the
    least probability.  Pathology: that alone.

    Args:
        predictions: by image.
        task: one of theirs.
        most: how many at most.

    Returns:
        A row a nodule, that of its middle slice, with the nodule's probabilities and, where there
        are some, the slice's image; of no rows if none was answered wrong.
    """
    nodules = predictions.pooled("nodule")
    labels, answers = nodules.labels[task], nodules.classes[task]
    wrong = np.flatnonzero((labels >= 0) & (labels != answers))
    given = nodules.probabilities[task][wrong, labels[wrong]]
    off = np.abs(labels - answers)[wrong] if task == MALIGNANCY else np.zeros(len(wrong))
    worst: dict[str, int] = {}
    for i in wrong[np.lexsort((given, -off))].tolist():
        worst.setdefault(nodules.rows[i].patient_id, i)
    chosen = nodules.select(list(worst.values())[:most])
    middle = [_middle_slice(predictions, row.nodule_key) for row in chosen.rows]
    images = None if predictions.images is None else predictions.images[middle]
    return replace(chosen, rows=tuple(predictions.rows[i] for i in middle), images=images)


def _middle_slice(predictions: Predictions, nodule: tuple[str, int]) -> int:
    """Index of the slice that counts most for a nodule."""
    own = [i for i, row in enumerate(predictions.rows) if row.nodule_key == nodule]
    return own[int(slice_weights([predictions.rows[i].z_mm for i in own]).argmax())]
