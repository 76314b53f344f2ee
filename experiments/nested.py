"""A recipe's scores where even its choice has not seen the patients: nested cross-validation.

For each outer fold of the patients, every candidate is cross-validated on the others alone, and the
one with the best quadratic kappa there is taken, with the calibration that was fitted there.  Its
networks' mean then answers for the outer fold, of which nothing was chosen or fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from predictor import diagnosis, nodules, readers, subgroups
from record import NUMBERS, Record, Results
from spread import shown, table

from lungdx_paddle.commands import cli
from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.data.splits import make_fold
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.manifest import write_manifest
from lungdx_paddle.training.crossval import train_any
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import Run, load_run

__all__ = ["diagnosis", "nodules", "readers", "subgroups"]
"""Parts of the record that are those of a predictor."""

OUTER, INNER = 5, 3
"""Folds: fifteen networks a candidate.  Each is trained on two thirds of four fifths of the
patients, fewer than the published model's, so its scores are if anything a little lower."""

CANDIDATES: dict[str, tuple[str, ...]] = {
    "best.yaml": (),
    "hard labels": ("train.soft_labels=0.0",),
}
"""Of the recipe: as it is, and with the readers' median as the only label."""


def outer_runs(
    manifest: Path, out: Path, size: Sequence[str], options: JobOptions
) -> dict[int, dict[str, Run]]:
    """{outer fold: {candidate: its cross-validation on the other folds}}; the missing are trained.

    The manifest of a fold's training part is written beside ``manifest``, whose crops it names.
    """
    config = load_config("best", [f"data.manifest={manifest}", *size])
    dataset = load_dataset(config.data)
    found: dict[int, dict[str, Run]] = {}
    for fold in range(OUTER):
        split = make_fold(dataset.manifest, "patient", (fold, OUTER), 0, dataset.labels[MALIGNANCY])
        part = manifest.parent / f"outer{fold}.csv"
        write_manifest(part, [dataset.manifest.rows[i] for i in split.train.tolist()])
        found[fold] = {}
        for name, overrides in CANDIDATES.items():
            own = load_config(
                "best",
                [
                    *size,
                    *overrides,
                    f"data.manifest={part}",
                    f"data.folds={INNER}",
                    f"output={out / f'outer{fold}' / name.replace(' ', '_')}",
                ],
            )
            train_any(own, options)
            found[fold][name] = load_run(own.output_folder)
    return found


def chosen(runs: dict[str, Run]) -> str:
    """The candidate with the best quadratic kappa by nodule inside the loop."""
    kappa = {name: _kappa(run.metrics.test.to_dict()) for name, run in runs.items()}
    return max(kappa, key=lambda name: kappa[name])


def measure(manifest: Path, runs: dict[int, dict[str, Run]]) -> Results:
    """Scores of all outer folds together, and what was chosen in each, with its inner kappa."""
    choices, parts = [], []
    for fold, candidates in runs.items():
        name = chosen(candidates)
        run = candidates[name]
        data = replace(run.config.data, manifest=str(manifest))
        outer = evaluate_run(run, data, device="cpu")
        parts.append(outer.predictions)
        choices.append(
            {
                "fold": fold,
                "chosen": name,
                "inner_kappa": _kappa(run.metrics.test.to_dict()),
                "outer_kappa": _kappa(outer.metrics.test.to_dict()),
                "inner": {n: _kappa(r.metrics.test.to_dict()) for n, r in candidates.items()},
            }
        )
    scores: dict[str, Any] = evaluate(_joined(parts)).to_dict()
    return {**scores, "choices": choices}


def choices(results: Results) -> str:
    """What was chosen in each outer fold: kappa inside, and outside."""
    rows = [
        [str(row["fold"]), row["chosen"], shown(row["inner_kappa"]), shown(row["outer_kappa"])]
        for row in results["choices"]
    ]
    return table(["outer fold", "chosen", "kappa inside", "kappa outside"], rows, left=2)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    first = parts[0]
    cuts = [part.cuts for part in parts if part.cuts is not None]
    return Predictions(
        rows=tuple(row for part in parts for row in part.rows),
        labels={t: np.concatenate([part.labels[t] for part in parts]) for t in first.labels},
        probabilities={
            t: np.concatenate([part.probabilities[t] for part in parts]) for t in first.labels
        },
        label_set=first.label_set,
        images=np.concatenate([part.images for part in parts]),
        cuts=np.concatenate(cuts) if len(cuts) == len(parts) else None,
    )


def _kappa(scores: dict[str, Any]) -> float:
    return float(scores["nodule"][MALIGNANCY]["quadratic_kappa"]["value"])


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, choose, score and write the record."""
    parser = cli.parser(__doc__, "python experiments/nested.py --manifest M/manifest.csv -o ...")
    add = parser.add_argument
    add("--manifest", type=Path, required=True, metavar="FILE", help="in a folder to write to")
    add("--out", type=Path, default=Path("output/nested"), metavar="DIR")
    add("--jobs", type=int, default=None, metavar="N", help="networks at once (one a core)")
    add("--name", default="nested", help="of the record (%(default)s)")
    add("-o", dest="size", nargs="+", default=[], metavar="KEY=VALUE", help="of every network")
    options = parser.parse_args(argv)
    jobs = JobOptions(jobs=options.jobs, device="cpu", resume=True)
    runs = outer_runs(options.manifest, options.out, options.size, jobs)
    every = [run for candidates in runs.values() for run in candidates.values()]
    what = (__doc__ or "").splitlines()[0]
    named = " ".join(["python experiments/nested.py --manifest FILE -o", *options.size])
    results = measure(options.manifest, runs)
    path = NUMBERS / f"{options.name}.json"
    Record.of_runs("nested", what, named, every, results).write(path)
    cli.say(f"written to {path}; next: python experiments/write_docs.py")


if __name__ == "__main__":
    cli.run(main)
