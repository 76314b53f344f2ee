"""Many trainings: methods x splits x seeds, each in its own folder, then Figure 7.

A run that is finished is not done again, and one that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.comparison import compare_methods
from lungdx_paddle.evaluation.predictions import PREDICTIONS, Predictions, read_predictions
from lungdx_paddle.figures.method_bars import write_comparison
from lungdx_paddle.settings import Config
from lungdx_paddle.training.parallel.jobs import How, train_each
from lungdx_paddle.workers import Workers

SPLITS = ("image", "patient")
"""The paper's, as far as one can tell, and the honest one."""


@dataclass(frozen=True)
class Plan:
    """What is compared."""

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
                    yield (
                        split,
                        name,
                        seed,
                        replace(config, data=data, seed=seed, output=str(folder)),
                    )


def plan_of(
    configs: Sequence[Path], overrides: Sequence[str], seeds: int, splits: Sequence[str], out: Path
) -> Plan:
    """Read the methods' configs.

    Raises:
        ConfigError: a config is bad, two have one name, or there is nothing to compare.
    """
    methods = {config.name: config for config in (load_config(c, overrides) for c in configs)}
    if len(methods) < len(configs) or len(methods) < 2 or seeds < 1:
        raise ConfigError(
            "what to compare",
            expected="two configs or more, of different names, and a seed or more",
            found=f"{', '.join(c.stem for c in configs)}; {seeds} seeds",
            fix="see tools/compare.py --help",
        )
    return Plan(methods, seeds, tuple(dict.fromkeys(splits)), out)


def compare(plan: Plan, jobs: int | None, say: Callable[[str], None]) -> list[str]:
    """Make what is missing of a comparison, and its tables and picture.

    Args:
        plan: what is compared.
        jobs: trainings at once; None: one a core.
        say: is given each line of progress.

    Returns:
        The closing lines.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.parallel.jobs.train_each`.
    """
    train_each([config for _, _, _, config in plan.runs()], How(Workers(jobs)), say)
    comparison = compare_methods(results_of(plan))
    paths = write_comparison(plan.out, comparison, f"{_data_of(plan)}, seeds: {plan.seeds}")
    table = paths[2].read_text(encoding="utf-8")
    return [table, *(f"written to {path}" for path in paths)]


def results_of(plan: Plan) -> dict[str, dict[str, list[Predictions]]]:
    """{split: {method: predictions of each seed's test part}} of finished runs.

    Raises:
        CheckpointError: a run's predictions are missing.
    """
    found: dict[str, dict[str, list[Predictions]]] = {
        split: {method: [] for method in plan.methods} for split in plan.splits
    }
    for split, method, _, config in plan.runs():
        found[split][method].append(read_predictions(config.output_folder / PREDICTIONS))
    return found


def _data_of(plan: Plan) -> str:
    """What the runs say they learned from."""
    *_, config = next(plan.runs())
    metrics = json.loads((config.output_folder / "metrics.json").read_text(encoding="utf-8"))
    # The folder and the file: the rest of a path says nothing of the data, and much of a machine.
    shown = "/".join(Path(metrics["data"]).parts[-2:])
    return "PHANTOM data" if metrics["data"] == "phantom" else shown
