"""The paper's Table 2 beside the same network on real crops, by the kind of split.

The runs are trainings of partial_soft.yaml, or of partial_soft_dense.yaml, the paper's unit to the
letter, with data.split=image and patient; several seeds of one kind become mean and deviation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import TYPE_CHECKING, Any

import record
from record import Results
from spread import over_seeds, shown, table

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import LungdxError

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

LOSS, _, TEST = COLUMNS = ("loss", "train", "test")


def measure(runs: Sequence[Run]) -> Results:
    """``paper``, and a kind of run (``image``, ``patient``, ``image_dense``) each.

    Raises:
        LungdxError: the runs are not of the same crops and labels.
    """
    from lungdx_paddle.figures.training_curves import PAPER

    digests = {run.record.digest for run in runs}
    if len(digests) > 1:
        raise LungdxError(
            "the runs of Table 2",
            expected="the same crops and labels in each",
            found=f"{len(digests)} different ones",
            fix="train them with one manifest, label set and min_readers",
        )
    steps, *columns = PAPER.values()
    paper = {
        str(step): {"epoch": step // 50, **dict(zip(COLUMNS, row))}  # its text: 50 steps an epoch
        for step, *row in zip(steps, *columns)
    }
    kinds = record.grouped(runs, _kind).items()
    return {
        "paper": {"steps": paper},
        **{kind: over_seeds([_one(run) for run in own]) for kind, own in kinds},
    }


def _kind(run: Run) -> str:
    """How it was split, and its sharing unit where that is not the default one."""
    unit = run.config.sharing.unit
    return run.config.data.split + (f"_{unit}" if unit != "channel" else "")


def _one(run: Run) -> dict[str, Any]:
    """What Table 2 and its last row are made of, of one training."""
    from lungdx_paddle.training.run import TABLE2
    from lungdx_paddle.training.table2 import read_table2

    rows = read_table2(run.folder / TABLE2)
    steps = {}
    for step, epoch, *numbers in (list(row.values())[:5] for row in rows):
        values = {name: float(n) if n else None for name, n in zip(COLUMNS, numbers)}
        steps[step] = {"epoch": int(epoch), **values}
    scores = run.metrics.test
    last: dict[str, Any] = {"both": scores.total("image")}
    last |= {task: own.accuracy.to_dict() for task, own in scores.image.items()}
    commonest = {task: _commonest(scores.to_dict(), task) for task in scores.image}
    known = [value for value in commonest.values() if value is not None]
    beside = {"both": mean(known) if known else None, **commonest}
    return {
        "steps": steps,
        "training_images": len(run.record.training_rows()),
        "test_images": scores.images,
        "leaks": run.metrics.leakage.leaks,
        "test_patients": scores.patients,
        "test_nodules": scores.nodules,
        "patients_on_both_sides": run.metrics.leakage.patients_on_both_sides,
        "nodules_on_both_sides": run.metrics.leakage.nodules_on_both_sides,
        "last": last,
        "commonest": beside,
        "gain": {task: _gain(value, beside[task]) for task, value in last.items()},
    }


def _gain(score: Any, beside: float | None) -> float | None:
    """How far an accuracy, or an estimate of one, is above another; None if either is not known."""
    value = score["value"] if isinstance(score, Mapping) else score
    return None if value is None or beside is None else value - beside


def _commonest(scores: Mapping[str, Any], task: str) -> float | None:
    """Accuracy over images of naming the commonest class throughout."""
    baseline = scores.get("baselines", {}).get("commonest_class", {}).get("image", {})
    value: float | None = baseline[task]["accuracy"]["value"] if task in baseline else None
    return value


def steps(results: Results, *kinds: str) -> str:
    """Every row of Table 2, the paper's and ours; kinds of run may be chosen.

    Deviations stand at the test accuracies alone; the record has all.
    """
    shown_kinds = ["paper", *(kinds or [kind for kind in results if kind != "paper"])]
    head = ["step", "epoch: paper", "ours"]
    head += [f"{column}: {_name(kind)}" for column in COLUMNS for kind in shown_kinds]
    rows = []
    for step in results["paper"]["steps"]:
        paper, *ours = (results[kind]["steps"].get(step, {}) for kind in shown_kinds)
        epochs = dict.fromkeys(shown(row.get("epoch"), 1) for row in ours)
        cells = [step, shown(paper["epoch"]), ", ".join(epochs)]
        for column in COLUMNS:
            values = [row.get(column) for row in (paper, *ours)]
            if column != TEST:
                values = [v["mean"] if isinstance(v, Mapping) else v for v in values]
            cells += [shown(value, 2 if column == LOSS else 3) for value in values]
        rows.append(cells)
    return table(head, rows, left=0)


def last(results: Results, *kinds: str) -> str:
    """The accuracies at the end, each beside that of naming the commonest class throughout."""
    paper = list(results["paper"]["steps"].values())[-1]
    tasks = ("both", "malignancy", "pathology")
    rows = [["paper", "", shown(paper[TEST]), *["-"] * 5]]
    for kind in kinds or [kind for kind in results if kind != "paper"]:
        own = results[kind]
        pairs = ((own["last"].get(t), own["commonest"].get(t)) for t in tasks)
        name = f"ours, by {_name(kind)}{' (leaks)' if own['leaks'] else ''}"
        seeds = str(len(own["last"]["both"]["each"]))
        rows.append([name, seeds, *(shown(value) for pair in pairs for value in pair)])
    head = ["test accuracy", "seeds", "both tasks", "the commonest class"]
    return table([*head, "malignancy", "commonest", "pathology", "commonest"], rows)


def _name(kind: str) -> str:
    split, _, unit = kind.partition("_")
    return f"{split}, {unit} unit" if unit else split


main = record.command(__doc__, "python experiments/table2.py --run output/image0", measure)

if __name__ == "__main__":
    cli.run(main)
