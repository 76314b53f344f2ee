"""Scores of the small networks under several conditions, and the differences that a study is about.

Both are means over trainings, with errors for other trainings on other patients
(:mod:`lungdx_paddle.evaluation.variance`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import comparisons
from comparisons import key_of
from record import NUMBERS, Data, Record, Results

from lungdx_paddle.commands import cli
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.evaluation.comparison import LEVEL, Training, compare_methods, holm
from lungdx_paddle.evaluation.measures import Measure
from lungdx_paddle.evaluation.predictions import read_predictions
from lungdx_paddle.files import read_json

MARGIN = 0.05
"""Of equivalence, chosen before a network was trained: an AUC that moves by less changes the order
of fewer than one pair of patients in twenty."""

PREDICTIONS, TRAINING = "predictions.csv", "training.json"


def seeds_of(folder: Path, names: Sequence[str]) -> list[int]:
    """The seeds with which every condition has been trained."""
    done = [{int(p.parent.name[4:]) for p in (folder / n).glob(f"seed*/{TRAINING}")} for n in names]
    return sorted(set.intersection(*done))


def trainings(folder: Path, name: str, seeds: Sequence[int]) -> list[Training]:
    """The trainings of one condition; its test parts are the folds."""
    found = []
    for seed in seeds:
        own = folder / name / f"seed{seed}"
        entries = read_json(own / TRAINING)
        found.append(Training(seed, entries["fold"], read_predictions(own / PREDICTIONS)))
    return found


def compared(
    folder: Path,
    names: Sequence[str],
    pairs: Sequence[tuple[str, str]],
    measures: Sequence[Measure],
) -> Results:
    """Scores of every condition and the differences of the pairs, by each measure.

    Holm's correction is for the pairs that are looked at, not for all that there are.
    """
    seeds = seeds_of(folder, names)
    every = {name: trainings(folder, name, seeds) for name in names}
    scores: dict[str, dict[str, Any]] = {}
    for row in compare_methods({"patient": every}, measures, MARGIN).to_dict()["scores"]:
        scores.setdefault(key_of(row.pop("measure")), {})[row.pop("method")] = row
    found: dict[str, list[dict[str, Any]]] = {}
    for first, second in pairs:
        both = {name: every[name] for name in (first, second)}
        for row in compare_methods({"patient": both}, measures, MARGIN).to_dict()["differences"]:
            found.setdefault(key_of(row.pop("measure")), []).append(row)
    for rows in found.values():
        for row, p in zip(rows, holm([row["p"] for row in rows])):
            row["p_holm"] = p
            row["differs"] = p is not None and p < LEVEL
    return {"seeds": len(seeds), "scores": scores, "pairs": found}


@dataclass(frozen=True)
class Study:
    """A question to the trainings of ``small_networks.py``, by conditions, pairs and measures."""

    name: str
    """Of its script and its record."""
    doc: str
    """The script's own words; the first line is the record's sentence."""
    titles: Mapping[str, str]
    """{condition: what a table calls it}."""
    compared: Sequence[tuple[str, str]]
    """The pairs whose differences the study is about; no other is looked at."""
    measures: Sequence[Measure]
    more: Callable[[Path, Sequence[int]], Results] = lambda folder, seeds: {}
    """What else it measures, from the folder and the seeds."""

    def measure(self, folder: Path) -> Results:
        """The scores of every condition, and the differences, by each measure."""
        found = compared(folder, list(self.titles), self.compared, self.measures)
        return {**found, **self.more(folder, seeds_of(folder, list(self.titles)))}

    def scores(self, results: Results, *measures: str) -> str:
        """Part: each condition by each measure, or by those that are named."""
        scores = {key: results["scores"][key] for key in measures or results["scores"]}
        return comparisons.scores_table(f"{results['seeds']} trainings each", scores, self.titles)

    def pairs(self, results: Results, measure: str) -> str:
        """Part: the differences by one measure."""
        return comparisons.pairs_table(measure, results["pairs"][measure], self.titles)

    def main(self, argv: Sequence[str] | None = None) -> None:
        """Measure and write the record."""
        command = f"python experiments/{self.name}.py --runs"
        parser = cli.parser(self.doc, f"{command} output/small_networks")
        parser.add_argument("--runs", type=Path, required=True, metavar="DIR")
        folder = parser.parse_args(argv).runs
        seeds = seeds_of(folder, list(self.titles))
        if len(seeds) < 2:
            raise LungdxError(
                str(folder),
                expected="two seeds or more of every condition",
                found=f"{len(seeds)}",
                fix="run experiments/small_networks.py to its end",
            )
        own = [read_json(folder / n / f"seed{s}" / TRAINING) for n in self.titles for s in seeds]
        kinds: dict[Environment, Environment] = {}
        for entries in own:
            environment = Environment(**entries["environment"])
            kinds.setdefault(dataclasses.replace(environment, date=""), environment)
        data = {**own[0]["data"], "digests": tuple(own[0]["data"]["digests"])}
        Record(
            study=self.name,
            what=self.doc.splitlines()[0],
            trainings=("python experiments/small_networks.py",),
            command=f"{command} DIR",
            environments=tuple(sorted(kinds.values(), key=lambda e: e.date)),
            data=Data(**data),
            seeds=tuple(seeds),
            split_seeds=(0,),
            date=max(entries["finished"] for entries in own),
            seconds=round(sum(_seconds(entries) for entries in own)),
            results=self.measure(folder),
        ).write(NUMBERS / f"{self.name}.json")
        cli.say(f"written to {NUMBERS / self.name}.json; next: python experiments/write_docs.py")


def _seconds(entries: Mapping[str, Any]) -> float:
    start, end = entries["environment"]["date"], entries["finished"]
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
