"""Several trainings at once, each in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import functools
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lungdx_paddle.config import differences, load_config
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.scores import Scores
from lungdx_paddle.files import writable_folder
from lungdx_paddle.progress import bar
from lungdx_paddle.runtime import THREADS, process_of, quiet_paddle
from lungdx_paddle.settings import Config
from lungdx_paddle.workers import Workers


@dataclass(frozen=True)
class How:
    """Where trainings run, and what becomes of earlier ones."""

    workers: Workers = Workers()
    device: str | None = "cpu"
    """cpu, gpu or None."""
    resume: bool = True
    """Keep finished runs and go on with begun ones; or train all anew."""


def train_each(configs: Sequence[Config], how: How, say: Callable[[str], None]) -> None:
    """Make every training that is not finished.

    Raises:
        ConfigError: a folder holds a run with other settings.
        LungdxError: the data are bad, or a training failed; the finished ones are kept.
    """
    how.workers.check([])
    if process_of()[1] > 1:
        raise ConfigError(
            "several trainings at once",
            expected="to be started without paddle.distributed.launch",
            found=f"{process_of()[1]} processes for each",
            fix="use --jobs, or choose one of them (data.fold=0 and so on)",
        )
    if how.resume:
        for config in configs:
            _check_same(config)
    todo = [c for c in configs if not (how.resume and _is_finished(c))]
    say(f"{len(configs)} trainings, {len(configs) - len(todo)} of them finished before")
    one = functools.partial(train_quietly, device=how.device, resume=how.resume)
    with bar(total=len(configs), initial=len(configs) - len(todo), unit="run") as done:
        for config, metrics in zip(todo, how.workers.map(one, todo)):
            done.update()
            say(f"{config.output_folder}: test accuracy {_shown(metrics)}")


def train_quietly(config: Config, device: str | None, resume: bool) -> dict[str, Any]:
    """One training without a bar, with one thread, since the other cores have other runs."""
    os.environ[THREADS] = "1"
    quiet_paddle()
    from lungdx_paddle.training.trainer import train

    folder = writable_folder(config.output_folder)
    begun = resume and (folder / "latest.pdparams").is_file()
    with contextlib.redirect_stderr(io.StringIO()):  # its bar would tear the others'
        return train(config, device, resume=begun)


def _shown(metrics: dict[str, Any]) -> str:
    value = Scores.from_dict(metrics["test"]).total("image")
    return "-" if value is None else f"{value:.4f}"


def _is_finished(config: Config) -> bool:
    return (config.output_folder / "metrics.json").is_file()


def _check_same(config: Config) -> None:
    path = config.output_folder / "config.yaml"
    changed = differences(load_config(path), config) if path.is_file() else []
    if changed:
        raise ConfigError(
            str(config.output_folder),
            expected="a run with the same settings",
            found="; ".join(changed[:3]),
            fix="choose another output folder, or remove that one",
        )
