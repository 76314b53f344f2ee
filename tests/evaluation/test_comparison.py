"""Methods are compared patient by patient, and a copy of a method is no better than it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.comparison import (
    BOTH,
    compare_methods,
    holm,
    paired_differences,
    paired_test,
)
from lungdx_paddle.evaluation.predictions import Predictions


def two_seeds(predictions: Predictions, turn: int, power: int) -> list[Predictions]:
    """A method's two seeds: probabilities moved by some rows, made sharper by a power."""
    moved = {t: np.roll(p, turn, axis=0) ** power for t, p in predictions.probabilities.items()}
    moved = {t: p / p.sum(axis=1, keepdims=True) for t, p in moved.items()}
    method = replace(predictions, probabilities=moved)
    every = np.arange(len(method))
    return [method.select(every[::2]), method.select(every[1::2])]


def test_figure_7s_numbers_are_those_that_were_kept(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    predictions, kept = golden
    methods = {"a": (0, 1), "b": (1, 1), "c": (0, 3)}
    made = {name: two_seeds(predictions, *how) for name, how in methods.items()}
    found = compare_methods({"image": made})
    assert len(found.accuracies) == len(kept["summary"])
    for row, old in zip(found.accuracies, kept["summary"]):
        assert (row.split, row.task, row.method) == (old["split"], old["task"], old["method"])
        assert row.accuracy.value == pytest.approx(old["accuracy"], abs=1e-12)
        assert row.accuracy.interval == pytest.approx((old["low"], old["high"]), abs=1e-9)
        assert row.accuracy.patients == old["patients"]
        assert row.seeds == pytest.approx(old["seeds"], abs=1e-12)
    assert len(found.differences) == len(kept["tests"])
    for pair, old in zip(found.differences, kept["tests"]):
        assert (pair.task, pair.first, pair.second) == (old["task"], old["first"], old["second"])
        assert pair.difference == pytest.approx(old["difference"], abs=1e-12)
        assert pair.interval == pytest.approx(tuple(old["interval"]), abs=1e-9)
        assert pair.p == pytest.approx(old["p"], abs=1e-12)
        assert pair.p_holm == pytest.approx(old["p_holm"], abs=1e-12)


def test_a_task_without_labels_does_not_count_and_no_label_at_all_has_no_number(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    undiagnosed = golden[0].select(np.flatnonzero(golden[0].labels["pathology"] < 0))
    found = compare_methods({"image": {"a": [undiagnosed], "b": [undiagnosed]}})
    by_task = {row.task: row.accuracy.value for row in found.accuracies}
    assert by_task[BOTH] == by_task["malignancy"] is not None
    assert by_task["pathology"] is None
    bare = replace(undiagnosed, labels={t: np.full(len(undiagnosed), -1) for t in by_task})
    bare = replace(bare, labels={t: k for t, k in bare.labels.items() if t != BOTH})
    nothing = compare_methods({"image": {"a": [bare], "b": [bare]}})
    assert {row.accuracy.why for row in nothing.accuracies} == {"no image has a label"}
    assert {pair.p for pair in nothing.differences} == {None}


def test_a_task_that_some_method_lacks_is_not_compared_and_one_task_has_no_mean(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    both = golden[0]
    one = (
        {"malignancy": both.labels["malignancy"]},
        {"malignancy": both.probabilities["malignancy"]},
    )
    alone = replace(both, labels=one[0], probabilities=one[1], label_set=LABEL_SETS["none"])
    of_both = compare_methods({"image": {"a": [both], "b": [both]}})
    wanted = next(row.accuracy for row in of_both.accuracies if row.task == "malignancy")
    for methods in ({"a": [alone], "b": [alone]}, {"a": [both], "b": [alone]}):
        found = compare_methods({"image": methods})
        assert [(row.task, row.accuracy) for row in found.accuracies] == [
            ("malignancy", wanted)
        ] * 2
        assert [pair.task for pair in found.differences] == ["malignancy"]


def test_methods_that_were_tested_on_other_images_are_refused(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    whole = golden[0]
    part = whole.select(np.arange(len(whole))[::-1])
    with pytest.raises(CheckpointError, match="expected the same test images for every method"):
        compare_methods({"image": {"a": [whole], "b": [part]}})


def test_every_pair_is_compared_and_identical_methods_do_not_differ() -> None:
    random = np.random.default_rng(0)
    patients = [f"P{i // 4}" for i in range(200)]
    good, poor = random.random(200) < 0.9, random.random(200) < 0.5
    same, other, last = paired_differences({"good": good, "copy": good, "poor": poor}, patients)
    assert [(r.first, r.second) for r in (same, other, last)] == [
        ("good", "copy"),
        ("good", "poor"),
        ("copy", "poor"),
    ]
    assert (same.difference, same.interval, same.p, same.p_holm) == (0, (0, 0), 1, 1)
    assert other.p < other.p_holm < 0.01
    assert other.interval[0] < other.difference < other.interval[1]


def test_a_patient_weighs_the_same_however_many_images_they_have() -> None:
    a, b = np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1])
    (row,) = paired_differences({"a": a, "b": b}, ["p", "p", "p", "q"])
    assert (row.difference, row.patients) == (0.0, 2)


def test_no_patient_and_one_method_are_defined() -> None:
    (row,) = paired_differences({"a": np.zeros(0), "b": np.zeros(0)}, [])
    assert row.difference is row.interval is row.p is row.p_holm is None
    assert paired_differences({"a": np.ones(2)}, ["p", "q"]) == []


def test_scores_of_other_items_are_an_error() -> None:
    with pytest.raises(ValueError, match="b: expected 2 numbers, found shape"):
        paired_differences({"a": np.ones(2), "b": np.ones(3)}, ["p", "q"])


@pytest.mark.parametrize("count", [5, 200])
def test_identical_methods_have_p_1(count: int) -> None:
    scores = np.random.default_rng(0).random(count)
    assert paired_test(scores, scores) == 1.0


def test_the_test_is_exact_for_few_patients() -> None:
    # All six better by the same: only the two one-sided flips of 2^6 reach it.
    assert paired_test(np.full(6, 0.8), np.full(6, 0.7)) == 2 / 64
    assert paired_test(np.array([1.0]), np.array([0.0])) == 1.0
    assert paired_test(np.zeros(0), np.zeros(0)) is None


def test_the_test_is_even_without_a_difference_and_small_with_one() -> None:
    random = np.random.default_rng(0)
    equal = [paired_test(*random.random((2, 12)), seed=s) for s in range(200)]
    assert np.mean(np.array(equal) < 0.05) < 0.1
    first = random.random(100)
    p = paired_test(first + 0.2 + random.normal(0, 0.1, 100), first)
    assert p is not None and 0 < p < 0.001


def test_scores_that_do_not_pair_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"shapes \(2,\) and \(3,\)"):
        paired_test(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="not a number"):
        paired_test(np.array([np.nan]), np.zeros(1))


def test_holm_multiplies_by_what_is_left_never_falls_and_skips_what_is_missing() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
