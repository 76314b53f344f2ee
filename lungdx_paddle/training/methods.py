"""Train several methods with several seeds and splits, for the paper's Figure 7.

A run that is finished is not made again, and one that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lungdx_paddle.config import load_config
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.settings import Config
from lungdx_paddle.training.parallel.jobs import JobOptions, train_all
from lungdx_paddle.training.run import load_run


@dataclass(frozen=True)
class Plan:
    """Which trainings are compared."""

    methods: Mapping[str, Config]
    """By name, in the order in which they are shown; all on one manifest."""
    seeds: int
    """Each seed is another split, other initial weights and another order."""
    splits: tuple[str, ...]
    out: Path

    def runs(self) -> Iterator[tuple[str, str, int, Config]]:
        """(split, method, seed, config) of every training, seed by seed."""
        for seed in range(self.seeds):
            for split in self.splits:
                for name, config in self.methods.items():
                    folder = self.out / "runs" / split / name / f"seed{seed}"
                    data = replace(config.data, split=split, split_seed=seed)
                    run = replace(config, data=data, seed=seed, output=str(folder))
                    yield split, name, seed, run


def plan_methods(
    configs: Sequence[Path], overrides: Sequence[str], seeds: int, splits: Sequence[str], out: Path
) -> Plan:
    """Read the methods' configs.

    Raises:
        ConfigError: a config is bad, two have one name, there is nothing to compare, or a network
            has one task only.
    """
    methods = {config.name: config for config in (load_config(c, overrides) for c in configs)}
    if len(methods) < len(configs) or len(methods) < 2 or seeds < 1:
        raise ConfigError(
            "what to compare",
            expected="two configs or more, of different names, and a seed or more",
            found=f"{', '.join(c.stem for c in configs)}; {seeds} seeds",
            fix="see tools/compare.py --help",
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
    return Plan(methods, seeds, tuple(dict.fromkeys(splits)), out)


def compare(plan: Plan, options: JobOptions) -> dict[str, dict[str, list[Predictions]]]:
    """Make the trainings of a plan that are missing, and read what all of them predict.

    Returns:
        {split: {method: predictions of each seed's test part}}.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.parallel.jobs.train_all`.
    """
    train_all([config for _, _, _, config in plan.runs()], options)
    found: dict[str, dict[str, list[Predictions]]] = {
        split: {method: [] for method in plan.methods} for split in plan.splits
    }
    for split, method, _, config in plan.runs():
        found[split][method].append(load_run(config.output_folder).predictions)
    return found
