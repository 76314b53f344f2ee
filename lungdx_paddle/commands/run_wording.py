"""A run's scores, leakage and environment in words, for the screen."""

from __future__ import annotations

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, too_few
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


def score_lines(scores: Scores) -> list[str]:
    """The scores that have an interval, the readers' beside the network's."""
    malignancy = scores.nodule["malignancy"]
    shown = {
        "malignancy within one level, by nodule": malignancy.within_one,
        "quadratic kappa, by nodule": malignancy.quadratic_kappa,
        "AUC benign / malignant nodules": malignancy.auc,
        "AUC benign / malignant diagnosis, by patient": scores.diagnosis_auc,
        "the readers: within one level": scores.readers.within_one,
        "the readers: AUC of the diagnosis": scores.readers.diagnosis_auc,
    }
    return [f"  {name:46}{value}" for name, value in shown.items()]


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
