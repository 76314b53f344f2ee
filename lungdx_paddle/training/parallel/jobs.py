"""Several trainings at once, each in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from lungdx_paddle.config import differences, load_config
from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.errors import CheckpointError, ConfigError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.progress import bar, log
from lungdx_paddle.runtime import THREADS, process_of, quiet_paddle
from lungdx_paddle.settings import Config, DataConfig
from lungdx_paddle.training.run import CONFIG, learned_config, load_run
from lungdx_paddle.training.run_metrics import RunMetrics
from lungdx_paddle.training.split_record import SPLIT
from lungdx_paddle.training.trainer import Pictures, train
from lungdx_paddle.workers import executor, run_all


@dataclass(frozen=True)
class JobOptions:
    """How trainings run: how many at once, on which device, resumed or anew."""

    jobs: int | None = None
    """Trainings at once; None: one a core."""
    device: str | None = None
    """cpu, gpu or None."""
    resume: bool = False
    """Keep finished runs and go on with begun ones; or train all anew."""
    pictures: Pictures | None = None
    """For the dashboard; a function of a module, since worker processes import it."""


def train_all(configs: Sequence[Config], options: JobOptions) -> None:
    """Run every training that is not finished.

    Raises:
        ConfigError: a folder holds a run of other settings, or this process is one of several of
            ``paddle.distributed.launch``.
        LungdxError: the data are bad, or a training failed; the finished ones are kept.
    """
    if process_of()[1] > 1:
        raise ConfigError(
            "several trainings at once",
            expected="to be started without paddle.distributed.launch",
            found=f"{process_of()[1]} processes for each",
            fix="use --jobs, or choose one of them (data.fold=0 and so on)",
        )
    known: dict[DataConfig, NoduleDataset] = {}
    todo = [c for c in configs if not (options.resume and _is_finished(c, known))]
    finished = len(configs) - len(todo)
    log.info("%d trainings, %d of them finished before", len(configs), finished)
    one = functools.partial(train_quietly, options=options)
    progress = bar(total=len(configs), initial=finished, unit="run")
    with executor(options.jobs) as pool, progress:
        for config, metrics in zip(todo, run_all(pool, one, todo)):
            progress.update()
            shown = metrics.test.shown("image")["total"]
            log.info("%s: test accuracy %s", config.output_folder, shown)


def train_quietly(config: Config, options: JobOptions) -> RunMetrics:
    """One training in a worker process: no bar, and one thread, since others use the cores."""
    os.environ[THREADS] = "1"
    quiet_paddle()
    folder = writable_folder(config.output_folder)
    begun = options.resume and (folder / CONFIG).is_file() and (folder / SPLIT).is_file()
    with contextlib.redirect_stderr(io.StringIO()):  # its bar would tear the others'
        metrics = train(config, options.device, begun, options.pictures)
    assert metrics is not None  # there is one process a training
    return metrics


def _is_finished(config: Config, known: dict[DataConfig, NoduleDataset]) -> bool:
    """Whether the folder holds this very training, at its end.

    Args:
        config: of the training.
        known: datasets that were read before, which this adds to.

    Raises:
        ConfigError: it holds one of other settings.
        ManifestError: it holds one of other crops.
    """
    path = config.output_folder / CONFIG
    if path.is_file():
        changed = differences(*(_with_steps(each) for each in (load_config(path), config)))
    else:
        changed = []
    if changed:
        raise ConfigError(
            str(config.output_folder),
            expected="a run with the same settings",
            found="; ".join(changed[:3]),
            fix="choose another output folder, or remove that one",
        )
    try:
        run = load_run(config.output_folder)
    except CheckpointError:
        return False
    if not run.is_finished:
        return False
    crops = replace(DataConfig(), manifest=config.data.manifest, label_set=config.data.label_set)
    crops = replace(crops, min_readers=config.data.min_readers)
    if crops not in known:
        known[crops] = load_dataset(crops)
    run.record.align(known[crops], config.data.manifest)
    return True


def _with_steps(config: Config) -> Config:
    learned = learned_config(config)
    return replace(learned, train=replace(learned.train, steps=config.train.steps))
