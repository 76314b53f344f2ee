"""Results over seeds: the mean and the deviation of every number, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

from lungdx_paddle.errors import LungdxError
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS

NO_BREAK = "\u00a0"
"""A space at which no line ends, so that a number is not torn apart."""


def over_seeds(runs: Sequence[Any]) -> Any:
    """Results of the same shape, one a training, become one of their means and deviations.

    A number becomes ``{mean, deviation, each}``, with None where a training does not define it; an
    estimate (value, interval, patients), as ``metrics.json`` has them, the same with the
    ``interval``, which is the mean of the trainings' intervals: how far patients move the score
    of one training, where the deviation is how far trainings differ.  What is the same number of
    things in all (an int), or a text, stays; lists, such as confusion matrices, are left out.

    Raises:
        LungdxError: the trainings do not have the same scores.
    """
    first = runs[0]
    if isinstance(first, Mapping) and "interval" in first:
        spans = [run["interval"] for run in runs if run["interval"]]
        return {
            **spread([run["value"] for run in runs]),
            "interval": [mean(ends) for ends in zip(*spans)] if len(spans) == len(runs) else None,
            **{key: over_seeds([run.get(key) for run in runs]) for key in ("patients",)},
        }
    if isinstance(first, Mapping):
        if some := set().union(*runs) - set(first).intersection(*runs):
            raise LungdxError(
                "the runs of a study",
                expected="the same scores in each",
                found=f"{sorted(some)} in some only",
                fix="evaluate them with one version of the package, on data that define them all",
            )
        parts = {key: over_seeds([run[key] for run in runs]) for key in first}
        return {key: part for key, part in parts.items() if not isinstance(part, list)}
    if isinstance(first, list):
        return []
    if isinstance(first, (str, bool, int)) and all(run == first for run in runs):
        return first
    return spread(runs)


def spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation (n - 1) and each of some numbers; None as far as not defined."""
    known = [value for value in values if value is not None]
    return {
        "mean": mean(known) if known else None,
        "deviation": stdev(known) if len(known) > 1 else None,
        "each": list(values),
    }


def shown(value: Any, digits: int = 3) -> str:
    """A number as the docs print it: ``0.640 ± 0.012 (0.601 to 0.680)``; ``-`` for none.

    One that rests on too few patients is not shown, as nowhere; one that some seeds do not define
    says so.
    """
    if isinstance(value, Mapping):
        if "mean" not in value:
            value = over_seeds([value])
        if value["mean"] is None:
            return "-"
        patients = value.get("patients", LEAST_PATIENTS)
        patients = patients["mean"] if isinstance(patients, Mapping) else patients
        if patients < LEAST_PATIENTS:
            return "too few patients"
        text = shown(value["mean"], digits)
        if value["deviation"] is not None:
            text += f"{NO_BREAK}±{NO_BREAK}{value['deviation']:.{digits}f}"
        if value.get("interval"):
            low, high = value["interval"]
            text += f" ({low:.{digits}f}{NO_BREAK}to{NO_BREAK}{high:.{digits}f})"
        each = value.get("each", [])
        if None in each:
            text += f", {len(each) - each.count(None)} of {len(each)} seeds"
        return text
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table whose first ``left`` columns are texts."""
    rule = ["---" if k < left else "--:" for k in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *rows))
