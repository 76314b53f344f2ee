"""What the dashboard shows of a training: scalars, curves, sharing units, settings, features,
and the environment beside the paper's Table 1.

All of it follows from the network and the test part; nothing is drawn at random, and nothing but
the log changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.environment import Environment
from lungdx_paddle.evaluation.predictions import Predictions, outputs
from lungdx_paddle.evaluation.ranking import auc, threshold_counts
from lungdx_paddle.evaluation.readers import binary_rankings
from lungdx_paddle.evaluation.scores import with_total
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.settings import Config
from lungdx_paddle.training.dashboard import Dashboard
from lungdx_paddle.training.step import StepResult

MOST_WEIGHTS = 100_000
"""Of a histogram: a dense unit's matrices have a million times as many, and take seconds."""

MOST_POINTS = 500
"""Of an embedding: what a browser can turn into a picture while one waits."""


def step_scalars(result: StepResult) -> dict[str, float | None]:
    """{tag: value} of a training step; None where the batch has no label."""
    return {
        "loss/total": result.loss,
        **{f"loss/{task}": value for task, value in result.losses.items()},
        **{f"accuracy_batch/{t}": value for t, value in with_total(result.accuracies).items()},
        "learning_rate": result.learning_rate,
    }


def show_settings(dashboard: Dashboard, config: Config, test: NoduleDataset) -> None:
    """Write every setting, for the page Hyper Parameters.

    VisualDL's table leaves cells empty under a title with a dot, and takes ``name`` for the
    run's own.
    """
    settings: dict[str, str | int | float] = {"config": config.name, "seed": config.seed}
    for group in ("data", "model", "sharing", "augment", "train"):
        for name, value in asdict(getattr(config, group)).items():
            if isinstance(value, (list, tuple)):
                value = ", ".join(value) or "none"
            elif isinstance(value, bool):  # VisualDL knows numbers and texts
                value = str(value).lower()
            settings[f"{group}/{name}"] = value
    known = [task for task, labels in test.labels.items() if (labels >= 0).any()]
    metrics = [f"accuracy_test/{task}" for task in (["total", *known] if known else [])]
    dashboard.hyper_parameters(settings, metrics)


def show_environment(dashboard: Dashboard, environment: Environment) -> None:
    """Write the machine and the versions beside the paper's Table 1, for the page Text."""
    # A card an entry: the page shows neither tables nor line ends.
    for name, paper, ours in environment.rows():
        dashboard.text(f"environment/{name}", f"{ours} (the paper's Table 1: {paper})")
    dashboard.text("environment/note", f"for {RESEARCH_USE}")


def show_row(
    dashboard: Dashboard,
    step: int,
    network: TwoTaskNetwork,
    accuracies: Mapping[str, Mapping[str, float | None]],
    predictions: Predictions,
) -> None:
    """Write what a row of Table 2 can show: accuracies, PR and ROC curves, sharing units.

    What the test part does not define is left out; so are curves and histograms while the
    network's outputs are not numbers.

    Args:
        dashboard: where to.
        step: steps done.
        network: as it is after them.
        accuracies: {"train" or "test": {"total" or a task: accuracy}}.
        predictions: of the test part.
    """
    shown = {
        f"accuracy_{side}/{task}": value
        for side, values in accuracies.items()
        for task, value in values.items()
    }
    for site, shares in network.shares().items():
        shown.update({f"share_{task}/{site}": share for task, share in shares.items()})
    dashboard.scalars(step, shown)
    if not all(np.isfinite(p).all() for p in predictions.probabilities.values()):
        return
    for question, (positive, score) in binary_rankings(predictions).items():
        dashboard.curves(step, question, threshold_counts(positive, score))
        dashboard.scalars(step, {f"auc_test/{question}": auc(positive, score)})
    for site, by_output in network.output_shares().items():
        for task, values in by_output.items():
            dashboard.histogram(step, f"shares_{task}/{site}", values)
        for name, weight in network.units[site].named_parameters():
            if weight.size <= MOST_WEIGHTS:
                dashboard.histogram(step, f"weights_{name}/{site}", weight.numpy())


def show_features(dashboard: Dashboard, network: TwoTaskNetwork, test: NoduleDataset) -> None:
    """Write the fc features of test crops that each head reads, for High Dimensional.

    Args:
        dashboard: where to.
        network: at the end of its training.
        test: the test part; at most MOST_POINTS of it are shown, evenly spaced.
    """
    places = np.linspace(0, len(test) - 1, min(len(test), MOST_POINTS)).astype(int)
    part = test.subset(places)
    columns = {}  # what each point is: its labels first, by which VisualDL colours them
    for task, names in part.label_set.task_classes.items():
        columns[task] = [names[label] if label >= 0 else "no label" for label in part.labels[task]]
    rows = part.manifest.rows
    columns["nodule"] = [f"{row.patient_id} nodule {row.nodule}" for row in rows]
    columns["image"] = [row.image for row in rows]
    for task, points in outputs(network, network.features, part).items():
        if np.isfinite(points).all():
            dashboard.embedding(f"fc/{task}", points, columns)
