"""Train a network: the loop, its rows of Table 2 and its checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from lungdx_paddle.config import differences
from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError, ConfigError
from lungdx_paddle.evaluation.intervals import LEAST_PATIENTS, too_few
from lungdx_paddle.evaluation.leakage import leakage
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.evaluation.scores import image_accuracy, without
from lungdx_paddle.progress import bar, log
from lungdx_paddle.runtime import set_up
from lungdx_paddle.settings import Config
from lungdx_paddle.training.checkpoint import (
    CHECKPOINT,
    load_checkpoint,
    save_checkpoint,
)
from lungdx_paddle.training.dashboard import Dashboard
from lungdx_paddle.training.dashboard_content import (
    show_environment,
    show_features,
    show_row,
    show_settings,
    step_scalars,
)
from lungdx_paddle.training.held_out import held_out_baselines
from lungdx_paddle.training.not_finite import check_weights, stopped
from lungdx_paddle.training.parallel.processes import Processes, join
from lungdx_paddle.training.run import (
    CONFIG,
    LOG,
    TABLE2,
    Run,
    learned_config,
    load_run,
    start_run,
    training_digest,
)
from lungdx_paddle.training.run_metrics import RunMetrics, write_results
from lungdx_paddle.training.split_record import TEST, TRAIN, SplitRecord
from lungdx_paddle.training.step import (
    NotFiniteError,
    StepResult,
    TrainingState,
    check_labels,
    prepare,
    training_step,
)
from lungdx_paddle.training.table2 import Table2, table_row

Pictures = Callable[[Predictions, int], Mapping[str, np.ndarray]]
"""(predictions of the test part, step) -> {tag: (rows, columns, 3) uint8 RGB} for the dashboard."""


def train(
    config: Config,
    device: str | None = None,
    resume: bool = False,
    pictures: Pictures | None = None,
) -> RunMetrics | None:
    """Train one network as a config says and write the run into its output folder.

    Args:
        config: with ``data.manifest`` set.
        device: cpu, gpu or None.
        resume: go on from the folder's checkpoint, to the result of an unbroken run.
        pictures: what the dashboard shows of the test part at each row of Table 2; None: nothing.

    Returns:
        What stands in ``metrics.json``; None in a process that is not rank 0.

    Raises:
        LungdxError: the data, the folder or the checkpoint are not what they should be, another
            training writes into the folder, or the loss is no longer a number.
    """
    place = set_up(device, config.seed)
    processes = join()
    with processes.alone_in(config.output_folder):
        return _train(config, place, resume, pictures, processes)


def _train(
    config: Config, place: str, resume: bool, pictures: Pictures | None, processes: Processes
) -> RunMetrics | None:
    dataset = processes.rank_zero_first(lambda: load_dataset(config.data))
    record = resumable(config).record if resume else SplitRecord.deal(dataset, config)
    if resume:
        dataset = record.align(dataset, config.data.manifest)
    parts = np.array(record.parts)
    train_part, test_part = (dataset.subset(np.flatnonzero(parts == s)) for s in (TRAIN, TEST))
    check_labels(config, train_part, test_part)
    state = prepare(config, train_part, test_part, processes)
    training = training_digest(config, record)
    if any((config.output_folder / name).is_file() for name in CHECKPOINT if resume):
        folder = config.output_folder
        state.step = load_checkpoint(folder, state.network, state.optimizer, training)
    if not processes.is_first:
        while state.step < config.train.steps:
            _step(state, training)
        return None
    run = start_run(config, record, place, resume)
    log.info(_opening(state, place))
    for line in _doubts(state):
        log.info(line)
    started, now = run.environment.rows(), Environment.current(place).rows()
    for (name, _, before), (_, _, here) in zip(started, now):
        if resume and before != here and name not in ("date", "commit", "threads"):
            log.info("Resumed elsewhere: %s is %s, and was %s", name, here, before)
    train_predictions, test_predictions = _loop(run, state, pictures)
    leaks = leakage(state.train.manifest.rows, state.test, state.train.images)
    beside = held_out_baselines(run, test_predictions, dataset)
    metrics = run.score(test_predictions, beside, leaks, config.data.manifest, place)
    metrics = replace(metrics, train=image_accuracy(train_predictions))
    return write_results(run.folder, metrics, test_predictions)


def resumable(config: Config) -> Run:
    """The run in a config's output folder, if it may go on under that config.

    Name, place and rows may be others; steps only where the learning rate does not depend on
    them.

    Raises:
        CheckpointError: there is no run.
        ConfigError: it is a run of other settings, or further than ``train.steps``.
    """
    folder = config.output_folder
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            f"--resume in {folder}",
            expected="the checkpoint of an earlier training",
            found=f"no {CONFIG}",
            fix="train without --resume first, or name that training's folder with -o output=DIR",
        )
    run = load_run(folder)
    changed = differences(learned_config(run.config), learned_config(config))
    if changed:
        cosine = config.train.schedule != "constant" and changed[0].startswith("train.steps")
        why = " (the learning rate of a cosine schedule depends on it)" if cosine else ""
        raise ConfigError(
            f"--resume in {folder}",
            expected="the settings of the run that is resumed",
            found="; ".join(changed[:3]) + why,
            fix=f"give them as they were (-c {run.folder}/config.yaml), or another output folder",
        )
    if run.step > config.train.steps:
        raise ConfigError(
            f"--resume in {folder}",
            expected=f"train.steps of {run.step} or more, which are done",
            found=str(config.train.steps),
            fix="raise train.steps, or train anew into another output folder",
        )
    return run


def _loop(
    run: Run, state: TrainingState, pictures: Pictures | None
) -> tuple[Predictions, Predictions]:
    """Train to the last step; returns predictions of the training and of the test part."""
    settings, tasks = run.config.train, state.network.tasks
    training = training_digest(run.config, run.record)
    table = Table2(run.folder / TABLE2, tasks, state.step)
    few = {"train": _few(state.train), "test": _few(state.test)}
    progress = bar(total=settings.steps, initial=state.step, unit="step")
    last: tuple[Predictions, Predictions] | None = None
    with progress, Dashboard(run.folder / LOG, state.step) as dashboard:
        show_settings(dashboard, run.config, state.test)
        show_environment(dashboard, run.environment)
        log.info(table.screen_header)
        while state.step < settings.steps:
            start = time.perf_counter()
            result = _step(state, training)
            values = step_scalars(result)
            values["steps_per_second"] = 1.0 / (time.perf_counter() - start)
            dashboard.scalars(state.step, values)
            progress.update()
            if _is_row(state):
                last = predict(state.network, state.train), predict(state.network, state.test)
                accuracies = {
                    side: image_accuracy(part) for side, part in zip(("train", "test"), last)
                }
                epoch = state.step // state.order.steps_per_epoch
                table.add(state.step, epoch, result.loss, accuracies)
                known = {side: without(accuracies[side], few[side]) for side in accuracies}
                row = table_row(state.step, epoch, result.loss, known)
                show_row(dashboard, state.step, state.network, accuracies, last[1])
                shown = pictures(last[1], state.step) if pictures else {}
                for tag, image in shown.items():
                    dashboard.picture(state.step, tag, image)
                dashboard.flush()
                save_checkpoint(run.folder, state.network, state.optimizer, state.step, training)
                log.info(table.screen_line(row))
        show_features(dashboard, state.network, state.test)
    return last or (predict(state.network, state.train), predict(state.network, state.test))


def _step(state: TrainingState, training: str) -> StepResult:
    """One step, whose weights are numbers where they become a checkpoint; or what it stopped at."""
    try:
        result = training_step(state)
        if _is_row(state):
            check_weights(state)
    except NotFiniteError as error:
        raise stopped(state, error, training) from error
    return result


def _is_row(state: TrainingState) -> bool:
    """Whether the step that was done has a row of Table 2 and a checkpoint."""
    settings = state.config.train
    return state.step % settings.log_every == 0 or state.step == settings.steps


def _opening(state: TrainingState, place: str) -> str:
    config = state.config
    sites = f"towers share at: {', '.join(config.sharing.sites) or 'nowhere'}"
    labelled = {task: int((labels >= 0).sum()) for task, labels in state.train.labels.items()}
    counts = ", ".join(f"{count} with {task}" for task, count in labelled.items())
    if len(labelled) == 1:
        sites = f"{', '.join(labelled)} alone: one tower, and every accuracy is of this task"
    several = f" x {state.processes.count} processes" if state.processes.count > 1 else ""
    return (
        f"{config.name}: {len(state.train)} training images ({counts}), {len(state.test)} test "
        f"images, split by {config.data.split}; {sites}; on {place}{several}, "
        f"{max(state.threads.count, 1)} threads"
    )


def _doubts(state: TrainingState) -> Iterator[str]:
    """What the labels of the two parts do not allow."""
    for part, dataset in (("training", state.train), ("test", state.test)):
        few = _few(dataset)
        for task, labels in dataset.labels.items():
            classes = np.unique(labels[labels >= 0])
            if task in few:
                yield f"{task}, {part} part: {too_few(few[task])}; the accuracies are without it"
            elif not len(classes):
                yield f"{task}, {part} part: no label"
            if len(classes) == 1:
                name = dataset.label_set.task_classes[task][classes[0]]
                yield f"{task}, {part} part: every label is of one class, {name}"


def _few(dataset: NoduleDataset) -> dict[str, int]:
    """{task: patients} of those tasks with a label that have too few to show a number of it."""
    counts = dataset.labelled_patients
    return {task: count for task, count in counts.items() if 0 < count < LEAST_PATIENTS}
