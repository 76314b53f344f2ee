"""What little suffices: answers without a network, from the training part alone.

A score of a network counts as what it adds to these.  All see a whole nodule, as the network does
at nodule level, and give each of its crops the same answer.

=========================  ====================================================================
``commonest_class``        always the commonest class of the training crops
``size_and_brightness``    least squares on log diameter, its square, mean and largest gray
                           value and whether that is white
``silhouette``             least squares on log diameter, its square and roundness: no gray
``slice_thickness``        least squares on the thickness of the scan's slices, which says
                           nothing of the nodule
=========================  ====================================================================

Least squares is fitted to the mean ratings of the training nodules, each once; its answer is the
nearest level.  It has no real probabilities: the two levels beside the fitted one share them by
nearness, so that the expected level is the fitted one.  For pathology it is fitted to each class's
share, 0 or 1, and the class with the highest is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.nodule_measures import WHITE, Measures, measure
from lungdx_paddle.evaluation.predictions import Predictions

COMMONEST = "commonest_class"

SEES: Mapping[str, Callable[[Measures], tuple[np.ndarray, ...]]] = {
    COMMONEST: lambda of: (),
    "size_and_brightness": lambda of: (
        np.log(of.diameter_mm),
        np.log(of.diameter_mm) ** 2,
        of.mean_gray,
        of.largest_gray,
        of.largest_gray >= WHITE,
    ),
    "silhouette": lambda of: (
        np.log(of.diameter_mm),
        np.log(of.diameter_mm) ** 2,
        of.roundness,
    ),
    "slice_thickness": lambda of: (of.slice_thickness_mm,),
}
"""{baseline: what it sees of nodules, (nodules,) each}."""
BASELINES = tuple(SEES)

Baselines = Mapping[str, Predictions | str]
"""{baseline: predictions of the same rows as a network's, or why there are none}."""

Parts = Sequence[tuple[np.ndarray, np.ndarray]]
"""Of each network: the crops that it was trained on, and those that it predicts, by index."""


def baseline_predictions(crops: NoduleDataset, predictions: Predictions, parts: Parts) -> Baselines:
    """Answer the crops of networks' predictions without them.

    Args:
        crops: those that the networks were trained on.
        predictions: of the networks, with their images.
        parts: of each network: indices of its training part in ``crops``, and of the rows of
            ``predictions`` that it made.  A row of several networks gets the mean.

    Returns:
        Predictions for those tasks that have a training label.

    Raises:
        ValueError: the predictions are without images.
    """
    if predictions.images is None:
        raise ValueError("baselines need the crops of the predictions, not a table of them")
    known = measure(crops.manifest.rows, crops.images)
    asked = measure(predictions.rows, predictions.images)
    found: dict[str, Predictions | str] = {}
    for name, sees in SEES.items():
        if not all(np.isfinite(column).all() for of in (known, asked) for column in sees(of)):
            found[name] = f"the {name.replace('_', ' ')} is not known of every crop"
            continue
        sums: dict[str, np.ndarray] = {}
        networks = np.zeros((len(predictions), 1))
        for trained, rows in parts:
            networks[rows] += 1
            answers = _answers(
                sees, crops.subset(trained), known.select(trained), asked.select(rows)
            )
            for task, answer in answers.items():
                sums.setdefault(task, np.zeros((len(predictions), answer.shape[1])))[rows] += answer
        found[name] = Predictions(
            predictions.rows,
            {task: predictions.labels[task] for task in sums},
            {task: p / networks for task, p in sums.items()},
            predictions.label_set,
        )
    return found


def _answers(
    sees: Callable[[Measures], tuple[np.ndarray, ...]],
    train: NoduleDataset,
    known: Measures,
    asked: Measures,
) -> dict[str, np.ndarray]:
    """{task with a label: (crops, classes) probabilities}, fitted to one training part.

    Args:
        sees: of :data:`SEES`.
        train: the training part.
        known: its measures.
        asked: those of the crops to answer.
    """

    def design(nodules: Measures) -> np.ndarray:
        return np.column_stack([np.ones(len(nodules.nodule)), *sees(nodules)])

    nodules, place = known.by_nodule()
    others, asked_place = asked.by_nodule()
    found = {}
    for task, labels in train.labels.items():
        labelled = np.flatnonzero(labels >= 0)
        classes = len(train.label_set.task_classes[task])
        if not len(labelled):
            continue
        if not sees(nodules):
            commonest = np.eye(classes)[np.bincount(labels[labelled]).argmax()]
            found[task] = np.tile(commonest, (len(asked_place), 1))
            continue
        one = labelled[np.unique(place[labelled], return_index=True)[1]]  # crop of each nodule
        rows = [train.manifest.rows[i] for i in one]
        targets = np.eye(classes)[labels[one]]
        if task == MALIGNANCY:
            targets = np.array([[np.mean(row.malignancy_ratings)] for row in rows])
        weights = np.linalg.lstsq(design(nodules)[place[one]], targets, rcond=None)[0]
        fitted = (design(others) @ weights)[asked_place]
        shares = np.maximum(fitted, 1e-9)  # a straight line may leave 0 to 1
        found[task] = (
            _of_level(fitted[:, 0], classes)
            if task == MALIGNANCY
            else shares / shares.sum(axis=1, keepdims=True)
        )
    return found


def _of_level(level: np.ndarray, classes: int) -> np.ndarray:
    """(n, classes): the two levels beside each of (n,) levels from 1 on share it by nearness."""
    place = level.clip(1, classes) - 1
    below = np.minimum(place.astype(int), classes - 2)
    found, each = np.zeros((len(level), classes)), np.arange(len(level))
    found[each, below] = 1 - (place - below)
    found[each, below + 1] = place - below
    return found
