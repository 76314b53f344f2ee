"""Cross-validation: a network for each fold, judged on it; together they are one model.

The scores are those of single networks on what they have not seen.  The model, which is the
mean of all networks, has seen all folds; on others it should do a little better than they say.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands.wording import closing
from lungdx_paddle.config import save_config
from lungdx_paddle.evaluation.predictions import PREDICTIONS, write_predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.files import writable_folder, write_text
from lungdx_paddle.settings import Config
from lungdx_paddle.training import trainer
from lungdx_paddle.training.parallel.jobs import How, train_each
from lungdx_paddle.training.run import data_name, judge_unseen, load_run


def train_and_tell(config: Config, how: How, audit: bool, say: Callable[[str], None]) -> None:
    """Train what a config describes, and say what came out and what to do next.

    Args:
        config: with ``data.manifest`` set.
        how: as for :func:`train`.
        audit: where the split leaks, train the same split by patient too, and say its number.
        say: is given each line.

    Raises:
        LungdxError: as :func:`train`.
    """
    apart = audit and config.data.split != "patient"
    for each in (config.by_patient(), config) if apart else (config,):
        metrics = train(each, how, say)
    if metrics:  # of several processes only the first has them
        say(closing(config, metrics))


def train(config: Config, how: How, say: Callable[[str], None]) -> dict[str, Any]:
    """Train what a config describes: one network, or one for each fold.

    Args:
        config: with ``data.manifest`` set.
        how: folds train at once where its workers allow.
        say: is given each line of progress.

    Returns:
        What stands in ``metrics.json``.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.trainer.train`.
    """
    writable_folder(config.output_folder)
    if not config.is_ensemble:
        return trainer.train(config, how.device, how.resume, say)
    folds = [config.of_fold(k) for k in range(config.data.folds)]
    train_each(folds, how, say)
    save_config(config, config.output_folder / "config.yaml")
    _, network = load_run(config.output_folder, "latest")
    said, leakage = judge_unseen(network, config)
    metrics = {
        "config": config.name,
        "data": data_name(said, config),
        "step": config.train.steps,
        "split": f"{config.data.split}, {config.data.folds} folds",
        "test": evaluate(said).to_dict(),
        "leakage": leakage,
        "note": RESEARCH_USE,
    }
    folder = config.output_folder
    write_predictions(folder / PREDICTIONS, said)
    write_text(folder / "metrics.json", json.dumps(metrics, indent=1) + "\n")
    return metrics
