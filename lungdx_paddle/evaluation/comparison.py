"""Methods against each other on the same patients: the statistics of the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.counts import numbered, ratio
from lungdx_paddle.evaluation.intervals import (
    LEAST_PATIENTS,
    Estimate,
    Interval,
    estimates,
    of_sums,
)
from lungdx_paddle.evaluation.predictions import Predictions

PERMUTATIONS = 20_000
"""Random sign flips of a test, so that p = 0.01 is known to within 0.0015."""

EXACT_PATIENTS = 14
"""Up to so many differing patients all 2^n sign flips are taken (16 384)."""

TIE = 1e-12
"""Relative: sums that differ by rounding only count as equal, as they do on paper."""

BOTH = "both"
"""Stands for the mean of the two tasks' accuracies, the paper's number."""

Results = Mapping[str, Mapping[str, Sequence[Predictions]]]
"""{split: {method: predictions of each seed's test part}}."""


@dataclass(frozen=True)
class MethodAccuracy:
    """Test accuracy of one method on one split, over images."""

    split: str
    task: str
    """malignancy, pathology, or BOTH: the mean of the two, as far as they have patients enough."""
    method: str
    accuracy: Estimate
    """Over all seeds' images, the bootstrap drawing a patient with all of them."""
    seeds: tuple[float | None, ...]
    """Each seed's own accuracy."""


@dataclass(frozen=True)
class MethodDifference:
    """Two methods on the same images: a patient's score is the mean over their images."""

    first: str
    second: str
    difference: float | None
    """first - second, the mean over patients."""
    interval: Interval
    p: float | None
    p_holm: float | None
    patients: int
    split: str = ""
    task: str = ""


@dataclass(frozen=True)
class Comparison:
    """What Figure 7 shows."""

    accuracies: tuple[MethodAccuracy, ...]
    differences: tuple[MethodDifference, ...]


def compare_methods(results: Results) -> Comparison:
    """Accuracy of each method on each split and task, and every pair of methods tested.

    The tasks of a split are those that all its predictions have, and BOTH if they are two.
    Holm's correction is for the pairs of one split and task.  For BOTH, an accuracy is the mean
    of the tasks' accuracies, while a patient's score in a test is the mean over all that is
    labelled of them.

    Args:
        results: {split: {method: predictions of each seed's test part}}.

    Raises:
        CheckpointError: the methods of a split were not tested on the same images.
    """
    accuracies, differences = [], []
    for split, methods in results.items():
        if (
            len({tuple(r.image for seed in seeds for r in seed.rows) for seeds in methods.values()})
            > 1
        ):
            raise CheckpointError(
                f"the runs split by {split}",
                expected="the same test images for every method",
                found=", ".join(f"{sum(map(len, s))} of {name}" for name, s in methods.items()),
                fix="compare runs of one manifest and the same seeds",
            )
        every = [predictions for seeds in methods.values() for predictions in seeds]
        own = [task for task in every[0].labels if all(task in p.labels for p in every)]
        for task in (BOTH, *own) if len(own) > 1 else own:
            tasks = own if task == BOTH else [task]
            for method, seeds in methods.items():
                each = tuple(_accuracy([seed], tasks).value for seed in seeds)
                whole = _accuracy(seeds, tasks)
                accuracies.append(MethodAccuracy(split, task, method, whole, each))
            items = {method: _right(seeds, tasks) for method, seeds in methods.items()}
            patients = next(iter(items.values()))[1]
            pairs = paired_differences(
                {name: right for name, (right, _) in items.items()}, patients
            )
            differences += [replace(pair, split=split, task=task) for pair in pairs]
    return Comparison(tuple(accuracies), tuple(differences))


def paired_differences(
    right: Mapping[str, np.ndarray], patients: Sequence[Hashable], seed: int = 0
) -> list[MethodDifference]:
    """Every pair of methods: difference, interval, p of a paired test, p after Holm.

    A patient's score is the mean over their items, so each patient weighs the same.  The
    numbers are None where there is no patient, the interval where there are fewer than two.

    Args:
        right: {method: (n,) 0 or 1, or any score, of the same n items in the same order}.
        patients: (n,) the patient of each item.
        seed: of the bootstrap and the random flips.

    Raises:
        ValueError: a method's scores are not one an item, or not numbers.
    """
    group, count = numbered(patients)
    means = {}
    for name, values in right.items():
        if values.shape != group.shape or not np.isfinite(values.astype(float)).all():
            raise ValueError(f"{name}: expected {len(group)} numbers, found shape {values.shape}")
        means[name] = np.bincount(group, values, count) / np.bincount(group, minlength=count)
    pairs = []
    for first, second in combinations(means, 2):
        apart = np.stack([means[first] - means[second], np.ones(count)], axis=1)
        mean = of_sums(apart, lambda sums: ratio(sums[..., 0], sums[..., 1]))
        found = estimates({"difference": mean}, count, "no patient", seed)["difference"]
        p = paired_test(means[first], means[second], seed)
        pairs.append(MethodDifference(first, second, found.value, found.interval, p, None, count))
    corrected = holm([pair.p for pair in pairs])
    return [replace(pair, p_holm=p) for pair, p in zip(pairs, corrected)]


def paired_test(first: np.ndarray, second: np.ndarray, seed: int = 0) -> float | None:
    """Two-sided p of a paired sign-flip permutation test over patients (Fisher 1935).

    If the two methods were exchangeable, each patient's difference could as well have the
    other sign.  Exact up to EXACT_PATIENTS patients that differ; beyond that PERMUTATIONS
    random flips, the observed one counted among them, so p is never 0.

    Args:
        first: (patients,) one method's score of each patient, such as the share that is right.
        second: (patients,) the other's, of the same patients.
        seed: of the random flips.

    Returns:
        p; 1 for identical methods; None without a patient.

    Raises:
        ValueError: the scores are not of the same patients, or are not all numbers.
    """
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"paired scores have shapes {first.shape} and {second.shape}")
    difference = np.asarray(first, float) - np.asarray(second, float)
    if not np.isfinite(difference).all():
        raise ValueError("a paired score is not a number")
    if not len(difference):
        return None
    difference = difference[difference != 0]
    if not len(difference):
        return 1.0
    least = abs(difference.sum()) - TIE * np.abs(difference).sum()
    if len(difference) <= EXACT_PATIENTS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(difference))))
        return float((np.abs(signs @ difference) >= least).mean())
    random = np.random.default_rng(seed)
    flips = random.integers(0, 2, size=(PERMUTATIONS, len(difference)), dtype=np.int8)
    reached = np.abs((2.0 * flips - 1.0) @ difference) >= least
    return float((1 + reached.sum()) / (1 + PERMUTATIONS))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number (Holm 1979, Scand. J. Stat. 6:65), in their order.

    None, for a comparison that could not be made, stays None and does not count.
    """
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, index) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - rank) * p))
        corrected[index] = highest
    return corrected


def _accuracy(seeds: Sequence[Predictions], tasks: Sequence[str]) -> Estimate:
    """Mean of the accuracies of those tasks that have patients enough, or of all with a label."""
    patients = {
        t: {p for s in seeds for p, label in zip(s.patients, s.labels[t]) if label >= 0}
        for t in tasks
    }
    labelled = [t for t in tasks if len(patients[t]) >= LEAST_PATIENTS]
    labelled = labelled or [t for t in tasks if patients[t]]
    patient, count = numbered([name for seed in seeds for name in seed.patients])
    sums = np.zeros((count, len(labelled), 2))
    for k, task in enumerate(labelled):
        known = np.concatenate([seed.labels[task] >= 0 for seed in seeds])
        right = np.concatenate([seed.classes[task] == seed.labels[task] for seed in seeds])
        sums[:, k, 0] = np.bincount(patient, right & known, count)
        sums[:, k, 1] = np.bincount(patient, known, count)
    sums = sums[sums[..., 1].sum(axis=1) > 0]

    def mean_of_ratios(drawn: np.ndarray) -> np.ndarray:
        means: np.ndarray = ratio(drawn[..., 0], drawn[..., 1]).sum(axis=-1)
        return ratio(means, np.full(means.shape, len(labelled)))

    statistic = {"accuracy": of_sums(sums, mean_of_ratios)}
    return estimates(statistic, len(sums), "no image has a label")["accuracy"]


def _right(seeds: Sequence[Predictions], tasks: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Right or wrong of every labelled image of every seed, and its patient."""
    right: list[np.ndarray] = []
    patients: list[str] = []
    for predictions in seeds:
        for task in tasks:
            known = predictions.select(np.flatnonzero(predictions.labels[task] >= 0))
            right.append(known.classes[task] == known.labels[task])
            patients += known.patients
    return np.concatenate(right), patients
