"""Train several methods with several seeds and splits, for the paper's Figure 7.

A run that is finished is not made again, and one that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.config import load_config
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.comparison import Comparison, Results, Training
from lungdx_paddle.files import write_text
from lungdx_paddle.settings import Config
from lungdx_paddle.training.parallel.jobs import JobOptions, train_all
from lungdx_paddle.training.run import Run, load_run


@dataclass(frozen=True)
class Plan:
    """Which trainings are compared."""

    methods: Mapping[str, Config]
    """By name, in the order in which they are shown; all on one manifest."""
    seeds: int
    """Trainings of each method on each split: other initial weights and another order."""
    split_seeds: int
    """How many splits they are dealt to, in turn; of one the claim is for its training part."""
    splits: tuple[str, ...]
    out: Path

    def configs(self) -> Iterator[Config]:
        """Of every training, seed by seed, counted from the methods' own seeds on."""
        for k in range(self.seeds):
            for split in self.splits:
                for name, config in self.methods.items():
                    seed, split_seed = (
                        config.seed + k,
                        config.data.split_seed + k % self.split_seeds,
                    )
                    folder = self.out / "runs" / split / name / f"seed{seed}"
                    data = replace(config.data, split=split, split_seed=split_seed)
                    yield replace(config, data=data, seed=seed, output=str(folder))


def plan_methods(
    configs: Sequence[Path],
    overrides: Sequence[str],
    seeds: tuple[int, int],
    splits: Sequence[str],
    out: Path,
) -> Plan:
    """Read the methods' configs.

    Args:
        configs: of two methods or more.
        overrides: settings for all of them.
        seeds: how many trainings of each, and over how many splits they are dealt evenly.
        splits: image, nodule or patient.
        out: the folder for all runs.

    Raises:
        ConfigError: a config is bad, two have one name, there is nothing to compare, the seeds
            cannot be dealt evenly, or a network has one task only.
    """
    methods = {config.name: config for config in (load_config(c, overrides) for c in configs)}
    if len(methods) < len(configs) or len(methods) < 2 or seeds[0] < 1:
        raise ConfigError(
            "what to compare",
            expected="two configs or more, of different names, and a seed or more",
            found=f"{', '.join(c.stem for c in configs)}; {seeds[0]} seeds",
            fix="see tools/compare.py --help",
        )
    if seeds[1] < 1 or seeds[0] % seeds[1]:
        raise ConfigError(
            "--split-seeds",
            expected=f"a divisor of the {seeds[0]} seeds, so that each split has as many of them",
            found=str(seeds[1]),
            fix="give 1, as many as --seeds, or a divisor",
        )
    alone = [n for n, c in methods.items() if len(LABEL_SETS[c.data.label_set].task_classes) == 1]
    if alone:
        raise ConfigError(
            "data.label_set=none",
            expected="two tasks: the methods are ways in which they share",
            found=f"malignancy alone, of which all methods make one network ({', '.join(alone)})",
            fix="compare with crops that have diagnoses, without this setting; tools/train.py "
            "trains malignancy alone",
        )
    return Plan(methods, *seeds, tuple(dict.fromkeys(splits)), out)


def compare(plan: Plan, options: JobOptions) -> list[Run]:
    """Make the trainings of a plan that are missing, and open all of them.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.parallel.jobs.train_all`.
    """
    configs = list(plan.configs())
    train_all(configs, options)
    return [load_run(config.output_folder) for config in configs]


def results_of(runs: Iterable[Run]) -> Results:
    """What finished runs predict, by their split and the name of their config.

    Raises:
        CheckpointError: one is not finished.
    """
    results: dict[str, dict[str, list[Training]]] = {}
    for run in runs:
        data = run.config.data
        training = Training(run.config.seed, data.split_seed, run.predictions)
        results.setdefault(data.split, {}).setdefault(run.config.name, []).append(training)
    return results


def write_comparison(path: Path, comparison: Comparison, runs: Sequence[Run]) -> None:
    """Write a comparison as JSON, with the seeds and digests of the trainings it rests on.

    Raises:
        CheckpointError: a run is not finished.
        OutputError: it cannot be written.
    """
    trainings = [
        {
            "split": run.config.data.split,
            "method": run.config.name,
            "seed": run.config.seed,
            "split_seed": run.config.data.split_seed,
            "step": run.metrics.step,
            "digests": asdict(run.digests),
        }
        for run in runs
    ]
    first = runs[0]
    entries = {
        "data": first.metrics.data,
        **comparison.to_dict(),
        "trainings": trainings,
        "environment": asdict(first.environment),
        "note": RESEARCH_USE,
    }
    write_text(path, json.dumps(entries, indent=1) + "\n")
