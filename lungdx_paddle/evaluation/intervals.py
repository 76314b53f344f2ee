"""How sure a number is: intervals over patients, a paired test, several comparisons.

Patients are the units, since the slices and nodules of one patient are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from lungdx_paddle.evaluation.counts import ratio

RESAMPLES = 2000
"""Of a bootstrap: a percentile's own error is then about a tenth of the interval."""

PERMUTATIONS = 20_000
"""Random sign flips of a test, so that p = 0.01 is known to within 0.0015."""

EXACT_PATIENTS = 14
"""Up to so many differing patients all 2^n sign flips are taken (16 384)."""

COVERAGE = 0.95
"""Of an interval."""

LEAST_DEFINED = 0.5
"""Part of the resamples that must define a number (have both classes, say) for an interval."""

TIE = 1e-12
"""Relative: sums that differ by rounding only count as equal, as they do on paper."""

Interval = tuple[float, float] | None


def resample(groups: int, seed: int = 0) -> np.ndarray:
    """(RESAMPLES, groups): how often each group is drawn, with replacement (Efron 1979)."""
    random = np.random.default_rng(seed)
    share = np.full(groups, 1.0 / groups)
    return random.multinomial(groups, share, size=RESAMPLES).astype(float)


def interval(values: np.ndarray) -> Interval:
    """The percentile interval of a number's resamples, NaN being the undefined ones.

    None where fewer than LEAST_DEFINED of them are defined.
    """
    known = values[np.isfinite(values)]
    if len(known) < LEAST_DEFINED * len(values) or not len(known):
        return None
    tail = 50 * (1 - COVERAGE)
    low, high = np.percentile(known, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap(
    sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], seed: int = 0
) -> Interval:
    """95 % interval of a number that is a function of sums over patients.

    Args:
        sums: (patients, ...) what each patient adds, such as a confusion matrix.
        statistic: (resamples, ...) summed -> (resamples,), NaN where undefined.
        seed: of the resamples.

    Returns:
        (low, high); None with fewer than two patients or too few defined resamples.
    """
    if len(sums) < 2:
        return None
    drawn = resample(len(sums), seed) @ sums.reshape(len(sums), -1)
    return interval(statistic(drawn.reshape(-1, *sums.shape[1:])))


def bootstrap_auc(wins: np.ndarray, pairs: np.ndarray, seed: int = 0) -> Interval:
    """95 % interval of an AUC from :func:`lungdx_paddle.evaluation.ranking.pair_counts`.

    Args:
        wins: (patients, patients) won pairs.
        pairs: (patients, patients) all pairs.
        seed: of the resamples.
    """
    if len(wins) < 2:
        return None
    drawn = resample(len(wins), seed)
    won, total = (((drawn @ part) * drawn).sum(axis=1) for part in (wins, pairs))
    return interval(ratio(won, total))


def paired_test(first: np.ndarray, second: np.ndarray, seed: int = 0) -> float | None:
    """Two-sided p of a paired sign-flip permutation test over patients (Fisher 1935).

    If the two methods were exchangeable, each patient's difference could as well have the
    other sign.  Exact up to EXACT_PATIENTS patients that differ; beyond that PERMUTATIONS
    random flips, the observed one counted among them, so p is never 0.

    Args:
        first: (patients,) one method's score of each patient, such as the part that is right.
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
