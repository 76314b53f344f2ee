"""A run's scores, leakage and environment in words, for the screen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, Estimate, too_few
from lungdx_paddle.evaluation.scores import SCORE_LEVELS, Scores
from lungdx_paddle.settings import Config
from lungdx_paddle.training.held_out import Evaluation
from lungdx_paddle.training.run import CURVES, LOG, learned_config, load_run
from lungdx_paddle.training.run_metrics import RunMetrics

PHANTOM_LINE = "This is PHANTOM data, made by a program: the numbers mean nothing medical."

CLOSING_NOTE = f"For {RESEARCH_USE}."


def accuracy_lines(scores: Scores) -> list[str]:
    """A table of accuracies at image, nodule and patient level, with what each rests on."""
    tasks = list(scores.image)
    columns = {"total": "both"} if len(tasks) > 1 else {}
    columns |= {task: task for task in tasks}
    lines = [f"  {'accuracy':10}" + "".join(f"{name:>12}" for name in columns.values())]
    for level in SCORE_LEVELS:
        texts = scores.shown(level)
        shown = "".join(f"{texts[name]:>12}" for name in columns)
        lines.append(f"  {level:10}{shown}   of {getattr(scores, f'{level}s')} {level}s")
    labelled = {task: scores.accuracy("image", task).patients for task in tasks}
    lines.append("  patients with a label: " + ", ".join(f"{labelled[t]} with {t}" for t in tasks))
    few = [task for task in tasks if scores.accuracy("image", task).too_few]
    lines += [
        f"  {task}: {too_few(labelled[task])}; a number is shown of {LEAST_PATIENTS} or more"
        for task in few
    ]
    if few and len(few) < len(tasks):
        lines.append(f"  both: {', '.join(task for task in tasks if task not in few)} alone")
    return lines


MALIGNANCY_COLUMNS = {
    "accuracy": "accuracy",
    "within_one": "within one",
    "quadratic_kappa": "kappa",
    "mae": "MAE",
    "auc": "AUC",
}
PATHOLOGY_COLUMNS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "macro_f1": "macro F1",
}
RANKED_BY = {
    "level": "network, expected level",
    "pathology": "network, pathology",
    "readers": "readers, mean rating",
}
MAIN_BASELINE = "size_and_brightness"
"""The one that a network has to be better than."""


def score_lines(scores: Scores) -> list[str]:
    """The network's scores beside the baselines', the readers' and the diagnosis."""
    malignancy, compared = scores.nodule["malignancy"], scores.readers
    lines = ["", *_baseline_table(scores, "malignancy", "nodule", MALIGNANCY_COLUMNS)]
    gain = scores.baselines[MAIN_BASELINE].gain if MAIN_BASELINE in scores.baselines else {}
    if gain:
        shown = f"network - {MAIN_BASELINE.replace('_', ' ')}"
        lines += _row(shown, gain, MALIGNANCY_COLUMNS, "+")
    lines += [
        "  kappa has quadratic weights; MAE: mean absolute error in levels, less is better",
        f"  ranked probability score, less is better: {malignancy.rps}",
    ]
    if "pathology" in scores.patient:
        lines += ["", *_baseline_table(scores, "pathology", "patient", PATHOLOGY_COLUMNS)]
    columns = {name: column for name, column in MALIGNANCY_COLUMNS.items() if name != "auc"}
    lines += [
        "",
        _header(f"{compared.comparisons} ratings of {compared.nodules} nodules", columns),
        *_row("reader", compared.reader, columns),
        *_row("network", compared.network, columns),
        *_row("network - reader", compared.difference, columns, "+"),
        "  both against the same: the median of the other readers' ratings",
        "",
        _header("AUC of the diagnosis, benign /", {name: name for name in scores.diagnosis}),
    ]
    for by, shown in RANKED_BY.items():
        aucs = {name: found[by] for name, found in scores.diagnosis.items() if by in found}
        lines += _row(shown, aucs, {name: name for name in aucs}, "i") if aucs else []
    lines += ["", "  kappa by nodule in subgroups (nodules):"]
    for question, groups in scores.subgroups.items():
        each = [f"{n} {_number(g.quadratic_kappa)} ({g.labelled})" for n, g in groups.items()]
        shown = question.replace("_mm", ", mm").replace("_", " ")
        lines.append(f"    {shown}: {'; '.join(each)}")
    return lines


def _baseline_table(scores: Scores, task: str, level: str, columns: Mapping[str, str]) -> list[str]:
    """A task's scores at a level with their intervals, and those of each baseline below."""
    own = scores.level(level)[task]
    lines = [_header(f"{task}, {own.labelled} {level}s", columns)]
    lines += _row("network", vars(own), columns, "i")
    for name, baseline in scores.baselines.items():
        found = baseline.level(level).get(task)
        shown = name.replace("_", " ")
        if baseline.why:
            lines.append(f"  {shown}: none, {baseline.why}")
        elif found:
            lines += _row(shown, vars(found), columns)
    return lines


def _header(title: str, columns: Mapping[str, str]) -> str:
    return f"  {title:31}" + "".join(f"{name:>15}" for name in columns.values())


def _row(
    name: str, found: Mapping[str, Any], columns: Mapping[str, str], style: str = ""
) -> list[str]:
    """Estimates in columns; style i: their intervals below; +: these and the signs as well."""
    estimates: list[Estimate | None] = [found.get(column) for column in columns]
    sign = "+" if style == "+" else ""
    lines = [f"  {name:31}" + "".join(f"{_number(of, sign):>15}" for of in estimates)]
    spans = [of.interval if of and not of.too_few else None for of in estimates]
    if style and any(spans):
        ends = [f"{s[0]:{sign}.2f} to {s[1]:{sign}.2f}" if s else "" for s in spans]
        shown = "".join(f"{text:>15}" for text in ends)
        lines.append(f"{'    95 % interval':33}{shown}".rstrip())
    return lines


def _number(found: Estimate | None, sign: str = "") -> str:
    """Three digits, a dash, or that patients are too few."""
    if found is None or found.value is None:
        return "-"
    return "too few" if found.too_few else f"{found.value:{sign}.3f}"


def calibration_lines(metrics: RunMetrics) -> list[str]:
    """The calibration error before and after, and what the cuts of the levels gain."""
    if metrics.uncalibrated is None:
        return []
    pairs = [(metrics.uncalibrated.nodule[t], metrics.test.nodule[t]) for t in metrics.test.nodule]
    shown = {f"ECE, {t}": (a.ece, b.ece) for t, (a, b) in zip(metrics.test.nodule, pairs)}
    before, after = pairs[0]
    shown["quadratic kappa"] = before.quadratic_kappa, after.quadratic_kappa
    shown["within one level"] = before.within_one, after.within_one
    lines = [f"    {name:24}{a}  ->  {b}" for name, (a, b) in shown.items()]
    return ["  calibration and decision rule, by nodule, before and after:", *lines]


def unseen_patients_line(config: Config) -> str:
    """The accuracy of the same config split by patient, or the command that gives it."""
    other = config.by_patient()
    try:
        run = load_run(other.output_folder)
        metrics = run.metrics
    except CheckpointError:
        return (
            "For the number on unseen patients: python tools/train.py -c "
            f"{cli.quoted(config.output_folder / 'config.yaml')} -o data.split=patient "
            f"{cli.quoted(f'output={other.output}')}"
        )
    if learned_config(run.config) != learned_config(other):
        return f"{other.output_folder}: split by patient, but a run of other settings"
    each = (f"by {level} {metrics.test.shown(level)['total']}" for level in ("image", "patient"))
    return f"Split by patient, the same config: test accuracy {', '.join(each)}"


def evaluation_notes(evaluation: Evaluation, config: Config, every: bool) -> list[str]:
    """What is doubtful about the crops of an evaluation, of ``every`` crop or the unseen ones."""
    metrics, lines = evaluation.metrics, []
    if evaluation.changes:
        lines.append(
            f"Note: the manifest is not as it was when the run was started: {evaluation.changes}."
        )
    if every:
        lines.append(
            f"Note: {metrics.leakage.patients_on_both_sides} of these {metrics.test.patients} "
            "patients are among those that the run was made with."
        )
    else:
        lines.append(f"Note: {metrics.leakage}.")
        if metrics.leakage.leaks:
            lines.append(unseen_patients_line(config))
    return lines


def environment_line(environment: Environment) -> str:
    """Processor, threads and versions in one line."""
    commit = f", commit {environment.commit}" if environment.commit else ""
    return (
        f"{environment.processor}, {environment.cores} cores, {environment.threads} threads; "
        f"Paddle {environment.paddle}, NumPy {environment.numpy}, Python {environment.python}"
        f"{commit} (the paper: Tesla V100, Paddle 1.8)"
    )


def table1_lines(environment: Environment) -> list[str]:
    """The paper's Table 1 beside the environment of a run."""
    rows = [("", "paper, Table 1", "this run"), *environment.rows()]
    wide = [max(len(row[k]) for row in rows) for k in range(3)]
    return ["  " + "  ".join(cell.ljust(w) for cell, w in zip(row, wide)).rstrip() for row in rows]


def result_lines(metrics: RunMetrics) -> list[str]:
    """Final test accuracies of a run; a note if its data are a phantom."""
    lines = [
        "",
        f"Test accuracy after step {metrics.step}, {metrics.part}:",
        *accuracy_lines(metrics.test),
    ]
    if metrics.data == "phantom":
        lines.append(PHANTOM_LINE)
    return lines


def next_lines(config: Config) -> list[str]:
    """Where the curves of a finished run are, and the commands that come next."""
    folder, shown = config.output_folder, cli.quoted
    own = [] if config.is_ensemble else [f"Curves:          {folder / CURVES}"]
    logs, model = folder if config.is_ensemble else folder / LOG, shown(folder / "inference")
    return [
        *own,
        f"Dashboard:       visualdl --logdir {shown(logs)} --disable-telemetry --port 8040",
        "                 and open http://localhost:8040/app/scalar",
        f"Export:          python tools/export.py --run {shown(folder)} --out {model}",
        f"Predict:         python tools/predict.py --model {model} "
        f"--manifest {shown(config.data.manifest)}",
    ]
