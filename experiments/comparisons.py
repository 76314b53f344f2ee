"""Tables of methods compared: their scores, and their differences with what can be said of them.

The rows are those of :class:`lungdx_paddle.evaluation.comparison.Comparison` as mappings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spread import shown, table

from lungdx_paddle.evaluation.comparison import LEVEL

Row = Mapping[str, Any]


def key_of(measure: Mapping[str, str]) -> str:
    """The name of a measure in a record, such as ``both_accuracy_image``."""
    return "_".join((measure["task"], measure["score"], measure["level"]))


def scores_table(
    corner: str, scores: Mapping[str, Mapping[str, Row]], titles: Mapping[str, str]
) -> str:
    """Each method by each measure: mean, deviation over trainings, 95 % interval.

    Args:
        corner: what all rows have in common.
        scores: {measure: {method: score}}.
        titles: {method: its words}, in the order of the rows.
    """
    rows = [
        [title, *(_score(methods.get(name)) for methods in scores.values())]
        for name, title in titles.items()
    ]
    return table([corner, *map(_words, scores)], rows)


def pairs_table(measure: str, pairs: Iterable[Row], titles: Mapping[str, str]) -> str:
    """The differences of methods by one measure, their tests, and what these find."""
    rows = []
    for row in pairs:
        p, span = row["p_holm"], row["interval90"]
        rows.append(
            [
                f"{titles[row['first']]} - {titles[row['second']]}",
                shown(row["estimate"]),
                "-" if span is None else "{:.3f} to {:.3f}".format(*span),
                "-" if p is None else f"{p:.2f}" if p >= 0.01 else "< 0.01",
                shown(row["detectable"]),
                _finding(row),
            ]
        )
    head = ["difference (95 % interval)", "90 % interval", "p (Holm)", "detectable", "finding"]
    return table([_words(measure), *head], rows)


def words_of(names: Sequence[str]) -> dict[str, str]:
    """{method: its words} of methods that are named by what they are."""
    return {name: name.replace("_", " ") for name in names}


def _score(row: Row | None) -> str:
    if row is None:
        return "-"
    estimate = row["estimate"]
    return shown({**estimate, "mean": estimate["value"], "deviation": row["deviation"]})


def _finding(row: Row) -> str:
    differs = row["p_holm"] is not None and row["p_holm"] < LEVEL
    same = f"equivalent within {row['margin']:g}" if row["equivalent"] else ""
    return ", ".join(filter(None, ["differs" if differs else "", same])) or "cannot say"


def _words(measure: str) -> str:
    task, *score, level = measure.split("_")
    return f"{task}: {' '.join(score).replace('auc', 'AUC')} by {level}"
