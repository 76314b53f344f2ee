"""One call gives every score, with intervals, the readers beside it, and never a NaN."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.ranking import auc
from lungdx_paddle.evaluation.readers import binary_rankings
from lungdx_paddle.evaluation.scores import (
    Scores,
    evaluate,
    image_accuracy,
    with_total,
)
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.manifest import ManifestRow

MALIGNANT = "malignancy: above 3.5 against below 2.5"
LEVELS = ("image", "nodule", "patient")


@pytest.fixture
def sure(perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]) -> Predictions:
    """Perfect predictions of 8 patients with 2 nodules of 5 crops each."""
    return perfect(crop_rows)


def parts(predictions: Predictions) -> dict[str, Predictions]:
    """The parts whose scores are kept."""
    few = [i for i, row in enumerate(predictions.rows) if row.patient_id < "P10"]
    return {
        "all": predictions,
        "ten patients": predictions.select(few),
        "undiagnosed": predictions.select(np.flatnonzero(predictions.labels["pathology"] < 0)),
        "one crop": predictions.select([0]),
    }


def same(found: Any, kept: Any, path: str) -> None:
    """Numbers agree to 1e-7, as far as means of 32-bit probabilities do; all kept is there."""
    if isinstance(kept, dict):
        for name in kept:
            if name not in ("why", "baseline_accuracy"):  # now in baselines, of training labels
                same(found[name], kept[name], f"{path}.{name}")
    elif isinstance(kept, list):
        assert len(found) == len(kept), path
        for i, value in enumerate(kept):
            same(found[i], value, f"{path}[{i}]")
    elif isinstance(kept, float):
        assert found == pytest.approx(kept, rel=0, abs=1e-7), path
    else:
        assert found == kept, path


@pytest.mark.parametrize("part", ["all", "ten patients", "undiagnosed", "one crop"])
def test_the_scores_are_those_that_were_kept(
    golden: tuple[Predictions, dict[str, Any]], part: str
) -> None:
    scores, kept = evaluate(parts(golden[0])[part]), golden[1]["scores"][part]
    found = scores.to_dict()
    for level in LEVELS:
        same(scores.total(level), kept[level]["total"], level)
        for task in ("malignancy", "pathology"):
            same(scores.accuracy(level, task).value, kept[level][task], f"{level} {task}")
    count, old = kept["count"], kept["scores"]
    assert [found[f"{level}s"] for level in LEVELS] == [count[f"{level}s"] for level in LEVELS]
    for task in ("malignancy", "pathology"):
        assert scores.image[task].labelled == count["labelled_images"][task]
        assert scores.patient[task].labelled == count["labelled_patients"][task]
        same(found["image"][task], old["image"][task], "image")
        same(found["nodule"][task], old["nodule"][task], "nodule")
    same(found["patient"]["pathology"], old["patient"]["pathology"], "patient")
    diagnosis = found["diagnosis"]["malignant"]
    same(diagnosis["level"], old["patient"]["diagnosis"]["auc"], "diagnosis")
    same(diagnosis["readers"], old["readers"]["diagnosis"]["auc"], "readers")
    same(found["readers"]["reader"], old["readers"]["one_against_others"], "readers")


def test_the_rankings_are_those_that_were_kept(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    rankings = binary_rankings(golden[0])
    assert list(rankings) == list(golden[1]["aucs"])
    for question, (yes, score) in rankings.items():
        assert auc(yes, score) == pytest.approx(golden[1]["aucs"][question], abs=1e-12)


def test_perfect_predictions_are_perfect_at_every_level(sure: Predictions) -> None:
    scores = evaluate(sure)
    for level in LEVELS:
        assert scores.total(level) == 1.0
        for task in ("malignancy", "pathology"):
            assert scores.accuracy(level, task).value == 1.0
            assert scores.accuracy(level, task).interval == (1.0, 1.0)
        assert scores.level(level)["malignancy"].quadratic_kappa.value == 1.0
        assert scores.level(level)["pathology"].macro_f1.value == 1.0
        assert scores.level(level)["pathology"].ece.value == pytest.approx(0.0, abs=1e-12)
    # Ratings 1 and 2 are benign, 4 and 5 malignant, 3 is neither.
    ratings = [1 + (p + n) % 5 for p in range(8) for n in range(2)]
    found = scores.nodule["malignancy"].auc
    assert (found.value, found.benign) == (1.0, sum(rating < 3 for rating in ratings))


def test_a_nodule_and_a_patient_count_once(sure: Predictions) -> None:
    scores = evaluate(sure)
    assert (scores.images, scores.nodules, scores.patients) == (80, 16, 8)
    labelled = [scores.level(level)["pathology"].labelled for level in LEVELS]
    assert labelled[0] == 5 * labelled[1] == 10 * labelled[2] == 30


def test_a_group_votes_with_its_mean_probability(sure: Predictions) -> None:
    # One crop of five is right, and so sure that the mean over the nodule is right, too.
    p = np.full((80, 5), 0.1)
    labels = sure.labels["malignancy"]
    p[np.arange(80), (labels + 1) % 5] = 0.2
    first = np.arange(0, 80, 5)
    p[first] = 0.0
    p[first, labels[first]] = 5.0
    scores = evaluate(replace(sure, probabilities={**sure.probabilities, "malignancy": p}))
    assert scores.accuracy("image", "malignancy").value == 0.2
    assert scores.accuracy("nodule", "malignancy").value == 1.0


def test_a_patient_is_as_suspicious_as_the_worst_nodule(sure: Predictions) -> None:
    # Patient P00 has nodules of level 1 and 2: a wrong class below the highest does not matter.
    p = np.eye(5)[np.where(np.arange(80) < 5, 1, sure.labels["malignancy"])]
    scores = evaluate(replace(sure, probabilities={**sure.probabilities, "malignancy": p}))
    assert scores.accuracy("nodule", "malignancy").value == 15 / 16
    assert scores.accuracy("patient", "malignancy").value == 1.0
    assert scores.patient["malignancy"].ece is None


def test_network_and_readers_rank_the_diagnosis_by_one_rule(sure: Predictions) -> None:
    # A perfect network expects each nodule's true level: its AUC must be the readers'.
    scores = evaluate(sure)
    for found in scores.diagnosis.values():
        assert found["level"] == found["readers"] and "pathology" not in found


def test_no_labels_at_all_have_reasons_and_no_nan(
    perfect: Callable[..., Predictions], crop_rows: list[ManifestRow]
) -> None:
    bare = [replace(row, diagnosis=None, malignancy_ratings=()) for row in crop_rows]
    scores = evaluate(perfect(bare))
    json.dumps(scores.to_dict(), allow_nan=False)
    found = scores.accuracy("image", "pathology")
    assert (found.value, found.why) == (None, "none has a label for pathology")
    assert scores.total("image") is None
    level = scores.diagnosis["primary"]["level"]
    assert str(level) == "- (an AUC needs both: 0 benign, 0 malignant)"


def test_one_nodule_has_values_without_intervals(sure: Predictions) -> None:
    scores = evaluate(sure.select(range(5)))
    assert scores.accuracy("image", "malignancy").value == 1.0
    assert scores.accuracy("image", "malignancy").interval is None
    kappa = scores.image["malignancy"].quadratic_kappa
    assert kappa.value is None and "one class" in kappa.why


def test_scores_come_back_from_json(golden: tuple[Predictions, dict[str, Any]]) -> None:
    for part in parts(golden[0]).values():
        scores = evaluate(part, baselines={"other": part, "none": "no thickness is known"})
        text = json.dumps(scores.to_dict(), allow_nan=False)
        assert Scores.from_dict(json.loads(text)) == scores
        assert json.dumps(Scores.from_dict(json.loads(text)).to_dict()) == text


def test_other_json_is_one_clear_error(sure: Predictions) -> None:
    older = evaluate(sure).to_dict()
    older["diagnosis_auc"] = older.pop("diagnosis")["malignant"]["level"]
    for other in (older, {"image": {"total": 0.5}}):
        with pytest.raises(CheckpointError, match="expected scores as this version writes them"):
            Scores.from_dict(other)


def test_what_a_network_adds_is_its_score_minus_the_baselines(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    moved = {task: np.roll(p, 1, axis=0) for task, p in golden[0].probabilities.items()}
    other = replace(golden[0], probabilities=moved)
    baselines = {"moved": other, "itself": golden[0], "none": "no thickness is known"}
    scores = evaluate(golden[0], baselines=baselines)
    alone, moved_alone = scores.nodule["malignancy"], evaluate(other).nodule["malignancy"]
    found = scores.baselines["moved"]
    assert found.nodule["malignancy"].quadratic_kappa == moved_alone.quadratic_kappa
    for name in ("accuracy", "within_one", "quadratic_kappa", "mae", "rps", "auc"):
        own, others = (getattr(of, name).value for of in (alone, moved_alone))
        assert found.gain[name].value == pytest.approx(own - others, abs=1e-12), name
        # The same patients are drawn for both: nothing is added to itself, in any resample.
        assert scores.baselines["itself"].gain[name].interval == (0.0, 0.0)
    assert scores.baselines["none"].why == "no thickness is known"
    assert not scores.baselines["none"].nodule


def test_one_answer_for_all_ranks_nothing_though_it_differs_between_folds(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    scores = evaluate(golden[0], baselines={"commonest_class": golden[0], "other": golden[0]})
    commonest, other = scores.baselines["commonest_class"], scores.baselines["other"]
    undefined = [commonest.nodule["malignancy"].auc, commonest.gain["auc"]]
    undefined += [of for question in commonest.diagnosis.values() for of in question.values()]
    for estimate in undefined:
        assert estimate is not None and estimate.value is None
        assert estimate.why == "one answer for all is no ranking"
        assert estimate.patients == scores.nodule["malignancy"].auc.patients
    assert other.why == commonest.why == ""
    assert other.nodule["malignancy"].auc == scores.nodule["malignancy"].auc
    assert commonest.nodule["malignancy"].accuracy == scores.nodule["malignancy"].accuracy


def intervals(value: Any, path: str = "") -> dict[str, Any]:
    """{path: interval} of every estimate in a result as JSON has it."""
    if not isinstance(value, dict):
        return {}
    if "interval" in value:
        return {path: value["interval"]}
    below = (intervals(entry, f"{path}.{name}") for name, entry in value.items())
    return {path: interval for found in below for path, interval in found.items()}


def test_the_seed_draws_the_patients_of_every_part(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    made, task = golden[0], "malignancy"
    random = {task: np.random.default_rng(0).dirichlet(np.ones(5), len(made))}
    other = replace(made, probabilities=random, labels={task: made.labels[task]})
    first, again, moved = (
        intervals(evaluate(made, seed, {"other": other}).to_dict()) for seed in (0, 0, 1)
    )
    assert first == again
    differ = [path for path in first if first[path] != moved[path]]
    for part in (
        *(f".{level}.{task}.mae" for level in LEVELS),
        f".nodule.{task}.auc",
        ".diagnosis.malignant",
        ".readers.difference",
        ".subgroups.",
        f".baselines.other.nodule.{task}.auc",
        ".baselines.other.diagnosis.malignant.level",
        ".baselines.other.gain.mae",
        ".baselines.other.gain.auc",
    ):
        assert any(path.startswith(part) for path in differ), part
    # A baseline is beside the network, not beside the readers; its reliability is not shown.
    assert ".baselines.other.diagnosis.malignant.readers" not in first
    assert f".baselines.other.nodule.{task}.ece" not in first


def test_scores_show_the_result_in_one_line(sure: Predictions) -> None:
    shown = repr(evaluate(sure))
    assert "\n" not in shown and "80 images" in shown
    assert "malignancy 1.000 (1.000 to 1.000), 8 patients" in shown


def test_probabilities_that_are_no_numbers_are_an_error(sure: Predictions) -> None:
    sure.probabilities["pathology"][3, 2] = np.nan
    with pytest.raises(ManifestError, match="predictions of pathology: .* 1 of them not numbers"):
        evaluate(sure)
    sure.probabilities["pathology"][5] = np.inf
    with pytest.raises(ManifestError, match="for 80 crops, 2 of them not numbers"):
        evaluate(sure)
    short = {task: p[1:] for task, p in sure.probabilities.items()}
    with pytest.raises(ManifestError, match="found 79 for 80 crops"):
        evaluate(replace(sure, probabilities=short))


def test_the_accuracy_of_a_row_is_that_of_the_scores(
    golden: tuple[Predictions, dict[str, Any]],
) -> None:
    for part in parts(golden[0]).values():
        found, scores = image_accuracy(part), evaluate(part)
        assert found.pop("total") == scores.total("image")
        assert found == {task: scores.accuracy("image", task).value for task in found}


def test_the_total_is_the_mean_of_the_tasks_that_have_a_number() -> None:
    assert with_total({"malignancy": 0.5, "pathology": 0.7})["total"] == pytest.approx(0.6)
    assert with_total({"malignancy": 0.5, "pathology": None})["total"] == 0.5
    assert with_total({"malignancy": None}) == {"total": None, "malignancy": None}


@pytest.fixture
def drawn(sure: Predictions) -> Predictions:
    """Random probabilities."""
    random = np.random.default_rng(0)
    sizes = {task: p.shape[1] for task, p in sure.probabilities.items()}
    made = {t: random.dirichlet(np.ones(n), len(sure)) for t, n in sizes.items()}
    return replace(sure, probabilities=made)


def test_a_ranking_counts_a_nodule_once_and_leaves_the_unclear_out(drawn: Predictions) -> None:
    yes, score = binary_rankings(drawn)[MALIGNANT]
    means = [1 + (patient + nodule) % 5 for patient in range(8) for nodule in range(2)]
    clear = [mean for mean in means if mean != 3]
    assert yes.tolist() == [mean > 3 for mean in clear]
    of_slices = drawn.probabilities["malignancy"].reshape(16, 5, 5)
    levels = slice_weights(range(5)) @ of_slices @ np.arange(1, 6)
    np.testing.assert_allclose(score, levels[[mean != 3 for mean in means]])


def test_each_class_that_some_nodules_have_is_ranked_against_the_rest(drawn: Predictions) -> None:
    rankings = binary_rankings(drawn)
    labels, classes = drawn.labels["pathology"], LABEL_SETS["paper6"].classes
    present = {classes[k] for k in np.unique(labels[labels >= 0])}
    assert set(rankings) == {MALIGNANT, *(f"pathology: {name}" for name in present)}
    diagnosed = np.unique(np.flatnonzero(labels >= 0) // 5)  # every nodule has 5 crops
    means = slice_weights(range(5)) @ drawn.probabilities["pathology"].reshape(16, 5, 6)
    for name in present:
        yes, score = rankings[f"pathology: {name}"]
        number = classes.index(name)
        assert yes.tolist() == (labels[diagnosed * 5] == number).tolist()
        np.testing.assert_allclose(score, means[diagnosed, number])


def test_without_a_label_there_is_nothing_to_rank(drawn: Predictions) -> None:
    unclear = drawn.select(np.flatnonzero(drawn.labels["malignancy"] == 2))
    unclear.labels["pathology"][:] = -1
    assert binary_rankings(unclear) == {}
