"""Methods are compared patient by patient, and a copy of a method is no better than it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungdx_paddle.evaluation.comparison import compare_methods


def test_every_pair_is_compared_and_identical_methods_do_not_differ() -> None:
    random = np.random.default_rng(0)
    patients = [f"P{i // 4}" for i in range(200)]
    good, poor = random.random(200) < 0.9, random.random(200) < 0.5
    rows = compare_methods({"good": good, "copy": good, "poor": poor}, patients)
    assert [(r["first"], r["second"]) for r in rows] == [
        ("good", "copy"),
        ("good", "poor"),
        ("copy", "poor"),
    ]
    same, other, _ = rows
    assert (same["difference"], same["interval"], same["p"], same["p_holm"]) == (0, [0, 0], 1, 1)
    assert other["p"] < other["p_holm"] < 0.01
    assert other["interval"][0] < other["difference"] < other["interval"][1]
    json.dumps(rows, allow_nan=False)


def test_a_patient_weighs_the_same_however_many_images_he_has() -> None:
    a, b = np.array([1, 1, 1, 0]), np.array([0, 0, 0, 1])
    (row,) = compare_methods({"a": a, "b": b}, ["p", "p", "p", "q"])
    assert (row["difference"], row["patients"]) == (0.0, 2)


def test_nobody_and_one_method_are_defined() -> None:
    (row,) = compare_methods({"a": np.zeros(0), "b": np.zeros(0)}, [])
    assert row["difference"] is row["interval"] is row["p"] is row["p_holm"] is None
    assert compare_methods({"a": np.ones(2)}, ["p", "q"]) == []


def test_scores_of_other_items_are_an_error() -> None:
    with pytest.raises(ValueError, match="b: expected 2 numbers, found shape"):
        compare_methods({"a": np.ones(2), "b": np.ones(3)}, ["p", "q"])
