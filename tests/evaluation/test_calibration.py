"""The reliability curve is scikit-learn's, its gaps make the calibration error, and a calibration
corrects probabilities and turns an expected level into a level.
"""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from lungdx_paddle.evaluation.calibration import (
    BINS,
    Calibration,
    bin_sums,
    ece,
    expected_level,
    level_class,
    reliability_curve,
    tempered,
)
from lungdx_paddle.evaluation.counts import number


def sums(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Of all images together."""
    return bin_sums(labels, probabilities, np.zeros(len(labels), dtype=int), 1)[0]


@pytest.mark.parametrize("seed", range(8))
def test_the_reliability_curve_is_scikit_learns_and_its_gaps_make_the_error(seed: int) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.ones(4), 200)
    labels = random.integers(0, 4, 200)
    curve = reliability_curve(sums(labels, probabilities))
    right = probabilities.argmax(axis=1) == labels
    accuracy, confidence = calibration_curve(right, probabilities.max(axis=1), n_bins=BINS)
    assert np.allclose([b["accuracy"] for b in curve], accuracy)
    assert np.allclose([b["confidence"] for b in curve], confidence)
    gaps = [b["images"] * abs(b["accuracy"] - b["confidence"]) for b in curve]
    assert ece(sums(labels, probabilities)) == pytest.approx(sum(gaps) / 200)


def test_certain_and_right_is_calibrated_and_certain_and_wrong_is_not() -> None:
    sure = np.eye(3)
    assert ece(sums(np.array([0, 1, 2]), sure)) == 0.0
    assert ece(sums(np.array([1, 2, 0]), sure)) == 1.0


def test_nothing_labelled_has_no_error_and_no_curve() -> None:
    nothing = sums(np.array([-1, -1, -1]), np.eye(3))
    assert number(ece(nothing)) is None
    assert reliability_curve(nothing) == ()


def test_a_temperature_divides_the_logits() -> None:
    logits = np.array([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    softmax = [np.exp(logits / t) / np.exp(logits / t).sum(1, keepdims=True) for t in (1, 2.5)]
    np.testing.assert_allclose(tempered(softmax[0], 2.5), softmax[1])
    of_each = tempered(softmax[0], np.array([[1.0], [2.5]]))
    np.testing.assert_allclose(of_each, [softmax[0][0], softmax[1][1]])
    assert tempered(softmax[0], 1.0) is softmax[0]
    certain = tempered(np.array([[1.0, 0.0]], np.float32), 5.0)
    assert certain.dtype == np.float32 and certain.tolist() == [[1.0, 0.0]]


def test_cuts_turn_an_expected_level_into_a_level() -> None:
    assert expected_level(np.array([0.5, 0, 0, 0, 0.5])) == 3.0
    cuts = (2.3, 2.75, 3.5, 4.3)
    assert level_class(np.array([1.0, 2.3, 2.8, 3.49, 4.3, 5.0]), cuts).tolist() == [
        0,
        1,
        2,
        2,
        4,
        4,
    ]
    each = np.array([cuts, (1.5, 2.5, 3.5, 4.5)])
    assert level_class(np.array([2.0, 2.0]), each).tolist() == [0, 1]


def test_a_calibration_is_read_as_it_was_written() -> None:
    made = Calibration(
        {"malignancy": 1.2}, (2.3, 2.75, 3.5, 4.3), 5, 545, {"malignancy": 9}, ("x",)
    )
    assert Calibration.from_dict(made.to_dict()) == made
    as_text = {**made.to_dict(), "cuts": ["2.3", "2.75", "3.5", "4.3"], "folds": "5"}
    assert Calibration.from_dict(as_text) == made
    assert not made.is_identity and Calibration({"malignancy": 1.0}).is_identity


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"cuts": [1, 2, 3]}, "cuts that are no 4 rising numbers"),
        ({"cuts": [1, 3, 2, 4]}, "cuts that are no 4 rising numbers"),
        ({"cuts": ["a"]}, "other entries"),
        ({"cuts": None}, "other entries"),
        ({"temperatures": {"malignancy": 0}}, "temperatures that are no numbers above 0"),
        ({"temperatures": {"age": 1.0}}, "temperatures that are no numbers above 0"),
        ({"temperatures": [2]}, "other entries"),
        ({"temperatures": {"malignancy": "hot"}}, "other entries"),
        ({"nodules": 7}, "other entries"),
    ],
)
def test_what_is_no_calibration_is_refused(change: dict[str, object], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        Calibration.from_dict({**Calibration().to_dict(), **change})
