"""Methods are compared by the very numbers that are shown, over trainings and patients."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.comparison import (
    Comparison,
    MethodDifference,
    Training,
    compare_methods,
    holm,
)
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.evaluation.measures import BOTH, MEASURES, Measure
from lungdx_paddle.evaluation.predictions import Predictions

IMAGE_ACCURACY = MEASURES[0]


def trainings(predictions: Sequence[Predictions], splits: int = 1) -> list[Training]:
    """A method's trainings, dealt to a number of splits."""
    return [Training(k, k % splits, each) for k, each in enumerate(predictions)]


def moved(predictions: Predictions, *turns: int) -> list[Training]:
    """Trainings whose probabilities are those of other rows."""
    return trainings(
        [
            replace(
                predictions,
                probabilities={
                    t: np.roll(p, turn, axis=0) for t, p in predictions.probabilities.items()
                },
            )
            for turn in turns
        ]
    )


@pytest.fixture(scope="module")
def of_answers(golden: tuple[Predictions, dict[str, Any]]) -> Callable[..., Predictions]:
    """A function (right malignancy, right pathology) -> predictions; labels are of binary classes.

    Each is (n,) bool, of n images of n / 4 patients; every tenth image has a pathology label.
    """

    def make(malignancy: np.ndarray, pathology: np.ndarray) -> Predictions:
        n = len(malignancy)
        one = golden[0].rows[0]
        rows = tuple(
            replace(one, image=str(i), patient_id=f"P{i // 4}", nodule=i) for i in range(n)
        )
        first = np.arange(n) % 2
        labels = {
            "malignancy": first,
            "pathology": np.where(np.arange(n) % 10 == 0, np.arange(n) // 10 % 2, -1),
        }
        probabilities = {}
        for task, right, classes in (("malignancy", malignancy, 5), ("pathology", pathology, 2)):
            answers = np.where(right, np.maximum(labels[task], 0), 1 - np.maximum(labels[task], 0))
            probabilities[task] = np.eye(classes)[answers]
        return Predictions(rows, labels, probabilities, LABEL_SETS["binary"])

    return make


def test_table_and_test_agree_where_the_tasks_pull_in_opposite_directions(
    of_answers: Callable[..., Predictions],
) -> None:
    """Malignancy has ten times the images: of all answers in one heap A is better, shown is B."""
    random = np.random.default_rng(0)
    methods = {}
    for name, malignancy, pathology in (("A", 0.60, 0.30), ("B", 0.50, 0.70)):
        draws = [random.random((2, 800)) for _ in range(5)]
        made = [of_answers(d[0] < malignancy, d[1] < pathology) for d in draws]
        methods[name] = trainings(made)
    found = compare_methods({"patient": methods}, [IMAGE_ACCURACY])
    first, second = (row.estimate.value for row in found.scores)
    (pair,) = found.differences
    assert pair.estimate.value == pytest.approx(first - second)
    assert pair.estimate.interval[1] < 0 and pair.differs and pair.p < 0.05
    own = compare_methods({"patient": methods}, MEASURES[1:2]).differences[0].estimate.value
    assert own > 0.05


def test_a_difference_is_that_of_the_scores_for_every_measure(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    methods = {name: moved(golden[0], k, k + 3) for k, name in enumerate("abc")}
    found = compare_methods({"image": methods})
    scores = {(row.measure, row.method): row.estimate.value for row in found.scores}
    assert all(row.estimate.value == pytest.approx(np.mean(row.trainings)) for row in found.scores)
    assert len(found.differences) == len(found.scores)  # three methods, three pairs
    for pair in found.differences:
        wanted = scores[pair.measure, pair.first] - scores[pair.measure, pair.second]
        assert pair.estimate.value == pytest.approx(wanted)
        low, high = pair.estimate.interval
        assert low < pair.interval90[0] < pair.estimate.value < pair.interval90[1] < high
        assert pair.p <= pair.p_holm <= 1


def test_the_same_method_with_other_seeds_is_not_called_different(
    of_answers: Callable[..., Predictions],
) -> None:
    random = np.random.default_rng(0)
    template = of_answers(*np.ones((2, 60), dtype=bool))
    truth = {t: np.maximum(labels, 0) for t, labels in template.labels.items()}
    called = 0
    for _ in range(200):
        methods = {}
        for name in "ab":
            made = []
            for skill in random.normal(0.6, 0.05, 5):  # a training's, by its seed
                right = {t: random.random(60) < skill for t in truth}
                given = {t: np.eye(5)[np.where(right[t], k, 1 - k)] for t, k in truth.items()}
                made.append(replace(template, probabilities=given))
            methods[name] = trainings(made)
        called += compare_methods({"image": methods}, [IMAGE_ACCURACY]).differences[0].differs
    assert called <= 0.05 * 200


def test_a_few_more_points_are_seen_and_a_copy_is_equivalent(
    of_answers: Callable[..., Predictions],
) -> None:
    random = np.random.default_rng(0)

    def method(skill: float) -> list[Training]:
        draws = [random.random((2, 400)) < skill for _ in range(6)]
        return trainings([of_answers(*draw) for draw in draws])

    good = method(0.8)
    methods = {"good": good, "copy": good, "poor": method(0.5)}
    same, better, _ = compare_methods({"image": methods}, [IMAGE_ACCURACY]).differences
    assert (same.estimate.value, same.estimate.interval, same.p_holm) == (0, (0, 0), 1)
    assert (same.differs, same.equivalent) == (False, True)
    assert (better.differs, better.equivalent) == (True, False)


def test_equivalent_is_what_lies_wholly_within_the_margin() -> None:
    def pair(low: float, high: float, p: float | None = 0.5) -> MethodDifference:
        estimate = Estimate(0.0, (low, high), 50)
        return MethodDifference(
            "image", IMAGE_ACCURACY, "a", "b", estimate, (low, high), 0.02, 0.03, p, p
        )

    assert pair(-0.01, 0.019).equivalent and not pair(-0.01, 0.019).differs
    assert not pair(-0.01, 0.021).equivalent and not pair(-0.03, 0.0).equivalent
    assert pair(0.001, 0.01, 0.01).differs and pair(0.001, 0.01, 0.01).equivalent
    assert not pair(0.1, 0.2, None).differs


def test_luck_of_the_seed_and_of_the_split_are_told_apart(
    of_answers: Callable[..., Predictions],
) -> None:
    def with_right(count: int) -> Predictions:
        return of_answers(np.arange(400) < count, np.ones(400, dtype=bool))

    by_split = trainings([with_right(n) for n in (200, 300, 200, 300)], splits=2)
    by_seed = trainings([with_right(n) for n in (200, 200, 300, 300)], splits=2)
    measure = [Measure("malignancy", "accuracy", "image")]
    found = compare_methods({"image": {"a": by_split, "b": by_seed}}, measure).scores
    assert (found[0].deviation_seeds, found[0].deviation_splits) == pytest.approx((0, 0.1767767))
    assert (found[1].deviation_seeds, found[1].deviation_splits) == pytest.approx((0.1767767, 0))
    one_split = trainings([with_right(n) for n in (200, 300)])
    row = compare_methods({"image": {"a": one_split, "b": one_split}}, measure).scores[0]
    assert (row.deviation_seeds, row.deviation_splits) == (row.deviation, None)
    each_its_own = trainings([with_right(n) for n in (200, 300)], splits=2)
    row = compare_methods({"image": {"a": each_its_own, "b": each_its_own}}, measure).scores[0]
    assert row.deviation is not None and row.deviation_seeds is row.deviation_splits is None


def test_one_training_has_a_score_and_no_interval_or_test(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    found = compare_methods({"image": {"a": moved(golden[0], 0), "b": moved(golden[0], 1)}})
    assert all(row.estimate.value and row.estimate.interval is None for row in found.scores)
    assert {row.estimate.why for row in found.scores} == {"one training"}
    assert {pair.p for pair in found.differences} == {None}


def test_a_task_without_labels_does_not_count_and_no_label_at_all_has_no_number(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    undiagnosed = golden[0].select(np.flatnonzero(golden[0].labels["pathology"] < 0))
    own = moved(undiagnosed, 0, 1)
    found = compare_methods({"image": {"a": own, "b": own}}, MEASURES[:3])
    by_task = {row.measure.task: row.estimate.value for row in found.scores}
    assert by_task[BOTH] == by_task["malignancy"] is not None
    assert by_task["pathology"] is None
    bare = replace(
        undiagnosed, labels={t: np.full(len(undiagnosed), -1) for t in undiagnosed.labels}
    )
    nothing = compare_methods({"image": {"a": moved(bare, 0, 1), "b": moved(bare, 0, 1)}})
    # The AUC of nodules needs the readers' ratings, not a label.
    estimates = [row.estimate for row in nothing.scores if row.measure.score != "auc"]
    assert {e.value for e in estimates} == {None}
    assert {e.why for e in estimates} == {"labels or answers do not define it"}


def test_a_task_of_few_patients_is_not_tested_and_both_is_of_the_other_alone(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    diagnosed = np.flatnonzero(golden[0].labels["pathology"] >= 0)
    few = {golden[0].rows[i].patient_id for i in diagnosed.tolist()}
    few -= set(sorted(few)[:3])
    kept = [i for i, row in enumerate(golden[0].rows) if row.patient_id not in few]
    part = golden[0].select(kept)
    found = compare_methods({"image": {"a": moved(part, 0, 1), "b": moved(part, 1, 2)}})
    by_task = {row.measure.task: row.estimate for row in found.scores[:6]}
    assert by_task["pathology"].too_few and by_task["pathology"].patients == 3
    assert by_task[BOTH].value == by_task["malignancy"].value
    assert {p.p for p in found.differences if p.measure.task == "pathology"} == {None}


def test_a_task_that_some_method_lacks_is_not_compared(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    both = golden[0]
    alone = replace(
        both,
        labels={"malignancy": both.labels["malignancy"]},
        probabilities={"malignancy": both.probabilities["malignancy"]},
        label_set=LABEL_SETS["none"],
    )
    for methods in ({"a": alone, "b": alone}, {"a": both, "b": alone}):
        found = compare_methods({"image": {n: moved(p, 0, 1) for n, p in methods.items()}})
        assert {row.measure.task for row in found.scores} == {"malignancy"}


def test_a_training_whose_number_one_method_lacks_counts_for_none(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    known = np.flatnonzero(golden[0].labels["malignancy"] == 2)
    of_one_class = golden[0].select(known)  # no kappa where all answers are of it, too
    always = np.tile(np.eye(5)[2], (len(known), 1))
    certain = replace(
        of_one_class, probabilities={**of_one_class.probabilities, "malignancy": always}
    )
    methods = {
        "a": trainings([of_one_class, of_one_class, of_one_class]),
        "b": trainings([of_one_class, certain, of_one_class]),
    }
    found = compare_methods({"image": methods}, [Measure("malignancy", "quadratic_kappa", "image")])
    assert [[v is None for v in row.trainings] for row in found.scores] == [
        [False, True, False]
    ] * 2
    assert found.differences[0].estimate.value == 0


def test_methods_that_were_tested_on_other_images_labels_or_splits_are_refused(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    whole = golden[0]
    turned = whole.select(np.arange(len(whole))[::-1])
    relabelled = replace(whole, labels={t: k.clip(max=0) for t, k in whole.labels.items()})
    for other in (moved(turned, 0), moved(relabelled, 0), [Training(0, 7, whole)]):
        with pytest.raises(CheckpointError, match="the same test images, labels and splits for"):
            compare_methods({"image": {"a": moved(whole, 0), "b": other}})


def test_all_of_it_is_plain_json(golden: tuple[Predictions, dict[str, Any]]) -> None:
    methods = {"a": moved(golden[0], 0, 1), "b": moved(golden[0], 1, 2)}
    found: Comparison = compare_methods({"image": methods})
    made = json.loads(json.dumps(found.to_dict()))
    assert Estimate.from_dict(made["scores"][0]["estimate"]) == found.scores[0].estimate
    assert made["differences"][0]["measure"] == vars(IMAGE_ACCURACY)
    assert set(made["differences"][0]) > {"interval90", "margin", "p_holm", "differs", "equivalent"}


def test_holm_multiplies_by_what_is_left_never_falls_and_skips_what_is_missing() -> None:
    assert holm([0.01, 0.04, 0.03, None]) == pytest.approx([0.03, 0.06, 0.06, None])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []
