"""How far answers move is counted by nodule, in levels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.retest import Movement, movement
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.manifest import ManifestRow


@pytest.fixture
def predictions(perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]) -> Predictions:
    return perfect(crop_rows)


def test_the_same_answers_have_not_moved(predictions: Predictions) -> None:
    assert movement([(predictions, predictions)]) == Movement(16, 16, 0.0, 0.0, 0.0)


def test_movement_is_that_of_the_nodules_mean_and_of_the_level_by_its_cuts(
    predictions: Predictions,
) -> None:
    """Of 16 nodules with five slices each, all at level 2, four slices of one jump to level 5."""
    p = np.tile(np.eye(5)[1], (80, 1))
    jumped = p.copy()
    jumped[:4] = np.eye(5)[4]
    before, after = (
        replace(predictions, probabilities={**predictions.probabilities, "malignancy": each})
        for each in (p, jumped)
    )
    found = movement([(before, after), (before, before)])
    assert (found.nodules, found.answers, found.level_changed) == (16, 32, 1 / 32)
    assert found.mean_change == pytest.approx((1 - slice_weights(range(5))[4]) * 3 / 32)
    late = np.tile([2.5, 4.6, 4.7, 4.8], (80, 1))
    early = np.tile([1.5, 4.5, 4.6, 4.8], (80, 1))
    moved = movement([(replace(before, cuts=late), replace(before, cuts=early))])
    assert (moved.level_changed, moved.mean_change, moved.percentile_95) == (1.0, 0.0, 0.0)


def test_nothing_cut_again_has_no_movement() -> None:
    assert movement([]) == Movement(0, 0, None, None, None)
