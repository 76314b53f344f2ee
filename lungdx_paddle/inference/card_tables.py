"""The tables of a model card: a run's scores as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lungdx_paddle.data.labels import MALIGNANCY, PATHOLOGY
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.evaluation.readers import BENIGN_BELOW, MALIGNANT_ABOVE
from lungdx_paddle.evaluation.scores import Scores
from lungdx_paddle.training.run_metrics import RunMetrics
from lungdx_paddle.words import count_of, printable

Classes = Mapping[str, Sequence[str]]
"""{task: names of its classes}, in the order of the outputs."""

SCORES: Mapping[str, Mapping[str, str]] = {
    MALIGNANCY: {
        "accuracy": "right level of five",
        "within_one": "at most one level off",
        "quadratic_kappa": "kappa, quadratic weights",
        "mae": "mean absolute error in levels",
        "rps": "ranked probability score (0 is best)",
        "auc": f"AUC, mean rating < {BENIGN_BELOW} against > {MALIGNANT_ABOVE}",
    },
    PATHOLOGY: {
        "accuracy": "right class",
        "balanced_accuracy": "balanced accuracy",
        "macro_f1": "macro F1",
    },
}
"""{task: {field of its scores: what it is}}."""

LEVEL = {MALIGNANCY: "nodule", PATHOLOGY: "patient"}
"""At which a task's scores are shown: the diagnosis is the patient's."""

MAIN_BASELINE = "size_and_brightness"
"""The one whose difference from the network is shown, too: what the crop hands to everybody."""

IN_SUBGROUPS = ("accuracy", "within_one", "quadratic_kappa", "mae")

RANKED_BY = {
    "level": "expected malignancy level",
    "pathology": "probability of malignant",
    "readers": "readers' mean rating",
}
"""{key of a diagnosis' AUCs: by what the patients are ranked}."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar or a line break in a cell is escaped, since it would end the cell."""
    lines = [head, ["---"] * len(head), *rows]
    cells = ([printable(cell).replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def shown(estimate: Estimate | None) -> str:
    """A number with its interval; a dash where there is none, or that patients are too few."""
    if estimate is None or estimate.value is None:
        return "-"
    if estimate.too_few or estimate.interval is None:
        return str(estimate)
    low, high = estimate.interval
    return f"{estimate.value:.3f} ({low:.3f} to {high:.3f})"


def results(scores: Scores, classes: Classes) -> str:
    """The scores of each task, of what is simpler, of the readers, and of the diagnosis."""
    parts = []
    for task in classes:
        labelled = count_of(scores.level(LEVEL[task])[task].labelled, LEVEL[task])
        parts += [f"**{task.capitalize()}**, {labelled}:", _task(scores, task)]
        parts += ["Its answers, a row a label:", _confusion(scores, task, classes[task])]
    compared = scores.readers
    if compared.comparisons:
        ratings = f"{compared.comparisons} ratings of {count_of(compared.nodules, 'nodule')}"
        parts.append(
            f"**Beside the readers**, {ratings}: each against the median of the nodule's *other* "
            "readers, which is noisier than the label above."
        )
        who = {"network": compared.network, "a reader": compared.reader}
        who["network minus a reader"] = compared.difference
        names = [name for name in SCORES[MALIGNANCY] if name in compared.reader]
        parts.append(_by_score(who, MALIGNANCY, names))
    rows = [
        [words, *(_sides(aucs.get(by)) for aucs in scores.diagnosis.values())]
        for by, words in RANKED_BY.items()
        if any(by in aucs for aucs in scores.diagnosis.values())
    ]
    parts.append(
        "**The diagnosis**: AUC of benign patients against others, each by the nodule that is most "
        "suspicious."
    )
    parts.append(table(["ranked by", *scores.diagnosis], rows))
    return "\n\n".join(parts)


def _task(scores: Scores, task: str) -> str:
    """A task's scores, and those of the baselines."""
    level = LEVEL[task]
    who: dict[str, Mapping[str, Any]] = {"network": vars(scores.level(level)[task])}
    for name, baseline in scores.baselines.items():
        found = baseline.level(level).get(task)
        who[name.replace("_", " ")] = vars(found) if found else {}
        if task == MALIGNANCY and name == MAIN_BASELINE and baseline.gain:
            who[f"network minus {name.replace('_', ' ')}"] = baseline.gain
    return _by_score(who, task, list(SCORES[task]))


def _by_score(who: Mapping[str, Mapping[str, Any]], task: str, names: Sequence[str]) -> str:
    rows = [[label, *(shown(of.get(name)) for name in names)] for label, of in who.items()]
    return table(["", *(SCORES[task][name] for name in names)], rows)


def _sides(auc: Estimate | None) -> str:
    sides = "" if auc is None or auc.value is None else f", {auc.benign} against {auc.malignant}"
    return shown(auc) + sides


def _confusion(scores: Scores, task: str, classes: Sequence[str]) -> str:
    counts = scores.level(LEVEL[task])[task].confusion
    rows = [[f"label {name}", *map(str, row)] for name, row in zip(classes, counts)]
    return table(["", *(f"answer {name}" for name in classes)], rows)


def calibration(metrics: RunMetrics, classes: Classes) -> str:
    """How far off the probabilities are, before and after calibration, and in which direction."""
    before, rows = metrics.uncalibrated, []
    for task in classes:
        of = [scores.nodule[task].ece for scores in (before, metrics.test) if scores]
        rows.append([task, *map(shown, of)])
    head = ["expected calibration error by nodule, 0 is best"]
    head += ["before calibration", "after"] if before else ["as the network gives them"]
    parts = [table(head, rows)]
    for task in classes:
        found = metrics.test.nodule[task]
        bins = () if found.ece is None or found.ece.too_few else found.reliability or ()
        cells = [[f"{b['confidence']:.2f}", f"{b['accuracy']:.2f}", str(b["images"])] for b in bins]
        if not bins:
            parts.append(f"{task.capitalize()}: {found.ece}.")
            continue
        parts.append(
            f"{task.capitalize()}: the likeliest class's probability, and how often it is right."
        )
        parts.append(table(["mean probability", "right", "nodules"], cells))
    return "\n\n".join(parts)


def subgroups(scores: Scores) -> str:
    """Malignancy by nodule in each group."""
    parts = []
    for question, groups in scores.subgroups.items():
        name = question.replace("_mm", " in mm").replace("_", " ")
        head = [name, "nodules", *(SCORES[MALIGNANCY][score] for score in IN_SUBGROUPS)]
        rows = [
            [group, str(of.labelled), *(shown(getattr(of, score)) for score in IN_SUBGROUPS)]
            for group, of in groups.items()
        ]
        parts.append(table(head, rows))
    return "\n\n".join(parts)


def mistakes(worst: Predictions, task: str, named: bool) -> str:
    """The nodules of :func:`~lungdx_paddle.evaluation.mistakes.worst_mistakes`.

    Args:
        worst: a row a nodule.
        task: whose mistakes they are.
        named: whether patients may be named: those of a public collection.
    """
    names = worst.label_set.task_classes[task]
    rows = []
    for i, row in enumerate(worst.rows):
        label, answer = (int(of[task][i]) for of in (worst.labels, worst.classes))
        p = worst.probabilities[task][i]
        rows.append(
            [
                str(i + 1),
                *([row.patient_id, str(row.nodule)] if named else []),
                " ".join(map(str, row.malignancy_ratings)),
                f"{names[label]} ({p[label]:.2f})",
                f"{names[answer]} ({p[answer]:.2f})",
            ]
        )
    columns = ["patient", "nodule"] if named else []
    head = ["", *columns, "ratings", "label (its probability)", "answer (its probability)"]
    return table(head, rows)
