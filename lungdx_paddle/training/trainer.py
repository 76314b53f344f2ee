"""Train a network: the loop, its log and its checkpoints."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.config import differences, load_config, save_config
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.leakage import leakage
from lungdx_paddle.evaluation.predictions import PREDICTIONS, predict, write_predictions
from lungdx_paddle.evaluation.scores import evaluate, image_accuracy
from lungdx_paddle.files import write_text
from lungdx_paddle.progress import bar
from lungdx_paddle.runtime import MKL_CPU_TYPE, set_up
from lungdx_paddle.settings import Config
from lungdx_paddle.training import table2
from lungdx_paddle.training.checkpoint import BEST, load_latest, save_latest, save_weights
from lungdx_paddle.training.dashboard import Dashboard
from lungdx_paddle.training.dashboard_content import show, show_features
from lungdx_paddle.training.step import Run, prepare, training_step


def train(
    config: Config,
    device: str | None = None,
    resume: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train as a config says and write everything into its output folder.

    Args:
        config: with ``data.manifest`` set; its output folder exists.
        device: cpu, gpu or None.
        resume: go on from the folder's latest checkpoint, to the result of an unbroken run.
        say: is given each line of progress.

    Returns:
        What stands in ``metrics.json``; nothing in a process that is not the first.

    Raises:
        LungdxError: the data, the folder or the checkpoint are not what they should be, or
            the loss is no longer a number.
    """
    place = set_up(device, config.seed)
    run = prepare(config)
    if resume:
        _check_same_config(config)
        state = load_latest(run.folder, run.network, run.optimizer)
        run.step, run.best, run.best_step = state["step"], state["best"], state["best_step"]
    if not run.processes.is_first:
        return _follow(run)
    save_config(config, run.folder / "config.yaml")
    say(_opening(run, place))
    _loop(run, say)
    metrics = _final_metrics(run)
    _write_predictions(run)
    write_text(run.folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return metrics


def _check_same_config(config: Config) -> None:
    """A resumed run may have more steps or other rows; all else would be another run."""
    path = config.output_folder / "config.yaml"
    if not path.is_file():
        return  # the checkpoint is missing as well, and its error says so
    changed = differences(_what_it_learns(load_config(path)), _what_it_learns(config))
    if changed:
        raise ConfigError(
            f"--resume in {config.output_folder}",
            expected="the settings of the run that is resumed",
            found="; ".join(changed[:3]),
            fix=f"give them as they were (-c {path}), or another output folder",
        )


def _what_it_learns(config: Config) -> Config:
    """The config without what a resumed run may change: its length, its rows, its place."""
    return replace(config, name="", output="", train=replace(config.train, steps=1, log_every=1))


def _follow(run: Run) -> dict[str, Any]:
    """Make every step beside the first process, which alone speaks, judges and writes."""
    while run.step < run.config.train.steps:
        training_step(run)
    return {}


def _loop(run: Run, say: Callable[[str], None]) -> None:
    tasks, settings = run.network.tasks, run.config.train
    table = table2.Table2(run.folder / "table2.csv", tasks, run.step)
    progress = bar(total=settings.steps, initial=run.step, unit="step")
    with progress, Dashboard(run.folder / "vdl", run.step) as dashboard:
        say(table2.screen_header())
        while run.step < settings.steps:
            start = time.perf_counter()
            loss, values = training_step(run)
            values["steps_per_second"] = 1.0 / (time.perf_counter() - start)
            values["learning_rate"] = run.optimizer.learning_rate
            dashboard.scalars(run.step, values)
            progress.update()
            if run.step % settings.log_every == 0 or run.step == settings.steps:
                row = _log_row(run, table, dashboard, loss)
                say(table2.screen_line(row, tasks))
        show_features(dashboard, run.network, run.test)


def _log_row(
    run: Run, table: table2.Table2, dashboard: Dashboard, loss: float
) -> Mapping[str, str]:
    said = predict(run.network, run.test)
    accuracies = {
        "train": image_accuracy(predict(run.network, run.train)),
        "test": image_accuracy(said),
    }
    row = table.add(run.step, run.step // run.order.steps_per_epoch, loss, accuracies)
    shown = {
        f"accuracy_{side}/{task}": value
        for side, values in accuracies.items()
        for task, value in values.items()
    }
    for site, shares in run.network.shares().items():
        shown.update({f"share_{task}/{site}": share for task, share in shares.items()})
    dashboard.scalars(run.step, shown)
    show(dashboard, run.config, run.step, run.network, said)
    dashboard.flush()
    _save(run, accuracies["train"]["total"] or 0.0)
    return row


def _save(run: Run, score: float) -> None:
    """Keep the best and the latest weights.

    Best is judged on the training part: a choice by the test part would be tuning on it.
    """
    if score > run.best:
        run.best, run.best_step = score, run.step
        save_weights(run.network, run.folder / f"{BEST}.pdparams")
    state = {"step": run.step, "best": run.best, "best_step": run.best_step}
    save_latest(run.folder, run.network, run.optimizer, state)


def _opening(run: Run, place: str) -> str:
    sites = ", ".join(run.config.sharing.sites) or "nowhere"
    labelled = {task: int((labels >= 0).sum()) for task, labels in run.train.labels.items()}
    counts = ", ".join(f"{count} with {task}" for task, count in labelled.items())
    means = ", ".join([place, *_means(run)])
    return (
        f"{run.config.name}: {len(run.train)} training images ({counts}), {len(run.test)} test "
        f"images, split by {run.split.by}; towers share at: {sites}; on {means}"
    )


def _means(run: Run) -> list[str]:
    """By what a training is faster than Paddle as it comes."""
    said = {
        f"{run.processes.count} processes, each with its part of a batch": run.processes.count > 1,
        f"{run.threads.count} threads, one for each tower": run.threads.count > 1,
        "MKL on its AVX2 path (MKL_DEBUG_CPU_TYPE)": MKL_CPU_TYPE in os.environ,
    }
    return [words for words, holds in said.items() if holds]


def _write_predictions(run: Run) -> None:
    write_predictions(run.folder / PREDICTIONS, predict(run.network, run.test))


def _final_metrics(run: Run) -> dict[str, Any]:
    """The last step's numbers: at image, nodule and patient level, with what leaks."""
    sources = {row.extra.get("source", "") for row in run.test.manifest.rows}
    return {
        "config": run.config.name,
        "data": "phantom" if "phantom" in sources else run.config.data.manifest,
        "step": run.step,
        "best_step": run.best_step,
        "split": run.split.by,
        "test": evaluate(predict(run.network, run.test)).to_dict(),
        "train": image_accuracy(predict(run.network, run.train)),
        "leakage": leakage(run.train, run.test).to_dict(),
        "note": RESEARCH_USE,
    }
