"""Malignancy by nodule in subgroups: does a score hold for every scanner and every size?

The groups come from nothing that a reader rated.  A difference of two groups is not shown to be
one: groups differ in their nodules, too, and an interval of one group does not test another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.nodule_measures import measure
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.task_scores import Answers, TaskScores
from lungdx_paddle.lidc.catalogue import known_series

THICKNESS_MM = (1.5, 2.5)
"""Up to 1.5 mm is what the Fleischner Society asks for to measure a nodule (MacMahon et al. 2017,
Radiology 284:228); over 2.5 mm is what the LUNA16 challenge leaves out (Setio et al. 2017)."""

DIAMETER_MM = (6.0, 8.0)
"""Where the Fleischner Society's advice changes (2017).  The diameter is that of
:mod:`~lungdx_paddle.evaluation.nodule_measures`, the largest of the nodule's crops."""

MOST_READERS = 4
"""Of one LIDC scan; a few nodules have more ratings, since a reader marked them twice."""


def subgroups(
    predictions: Predictions, nodules: Predictions, seed: int = 0
) -> dict[str, dict[str, TaskScores]]:
    """Scores of malignancy by nodule in each group, ``labelled`` being its nodules.

    Args:
        predictions: by image.
        nodules: the same, pooled by nodule.
        seed: of the bootstrap over patients.

    Returns:
        {``manufacturer``, ``slice_thickness_mm``, ``diameter_mm``, ``readers``: {group: scores}};
        without the diameter if the predictions have no images, and without manufacturer and
        thickness if no series is known.
    """
    series = [known_series().get(row.series_uid) for row in nodules.rows]
    ratings = np.array([min(len(row.malignancy_ratings), MOST_READERS) for row in nodules.rows])
    most = f"{MOST_READERS} or more"
    groups: dict[str, Sequence[str]] = {}
    if any(series):
        groups["manufacturer"] = [facts.manufacturer if facts else "unknown" for facts in series]
        thickness = np.array([facts.slice_thickness_mm if facts else np.nan for facts in series])
        groups["slice_thickness_mm"] = _between(thickness, THICKNESS_MM)
    if predictions.images is not None:
        diameter = measure(predictions.rows, predictions.images).by_nodule()[0].diameter_mm
        groups["diameter_mm"] = _between(diameter, DIAMETER_MM)
    groups["readers"] = [most if n == MOST_READERS else str(n) for n in ratings.tolist()]
    rated = nodules.labels[MALIGNANCY] >= 0
    found: dict[str, dict[str, TaskScores]] = {}
    for name, group_of in groups.items():
        names = np.array(group_of)
        found[name] = {
            group: Answers.of(
                MALIGNANCY, nodules.select(np.flatnonzero(rated & (names == group)))
            ).scores(seed)
            for group in sorted(set(names[rated].tolist()))
        }
    return found


def _between(values: np.ndarray, edges: tuple[float, float]) -> list[str]:
    """Each value's group: up to the first edge, to the second, or over it."""
    low, high = (f"{edge:g}" for edge in edges)
    names = np.array([f"0 to {low}", f"{low} to {high}", f"over {high}"])
    known = np.isfinite(values)
    return np.where(known, names[np.searchsorted(edges, values).clip(max=2)], "unknown").tolist()
