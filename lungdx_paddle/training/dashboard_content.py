"""What a training shows beyond scalars: pictures, curves, sharing units, settings, features.

All of it follows from the network and the test part; nothing is drawn at random, and
nothing but the log changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.evaluation.predictions import Predictions, features
from lungdx_paddle.evaluation.ranking import auc, threshold_counts
from lungdx_paddle.evaluation.scores import binary_rankings, image_accuracy
from lungdx_paddle.figures.crop_mosaic import draw_crops
from lungdx_paddle.figures.score_plots import draw_confusion, pixels
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.settings import Config
from lungdx_paddle.training.dashboard import Dashboard

MOST_WEIGHTS = 100_000
"""Of a histogram: a dense unit's matrices have a million times as many, and take seconds."""

MOST_POINTS = 500
"""Of an embedding: what a browser can turn into a picture while one waits."""


def show(
    dashboard: Dashboard, config: Config, step: int, network: TwoTaskNetwork, said: Predictions
) -> None:
    """Write what a logged row can show: settings, pictures, curves and sharing units.

    What the test part does not define, such as the confusion of a task without labels, is
    left out; so is everything while the network's outputs are not numbers.

    Args:
        dashboard: where to.
        config: the run's.
        step: steps done.
        network: as it is after them.
        said: what it says of the test part.
    """
    if not all(np.isfinite(p).all() for p in said.probabilities.values()):
        return
    known = [task for task, value in image_accuracy(said).items() if value is not None]
    dashboard.hyper_parameters(_settings(config), [f"accuracy_test/{task}" for task in known])
    dashboard.picture(step, "crops/test", draw_crops(said))
    for task in said.labels:
        if task in known:
            figure = draw_confusion(said, task, f"test part, step {step}")
            dashboard.picture(step, f"confusion/{task}", pixels(figure))
    for question, (yes, score) in binary_rankings(said).items():
        dashboard.curves(step, question, threshold_counts(yes, score))
        dashboard.scalars(step, {f"auc_test/{question}": auc(yes, score)})
    for tag, values in _sharing(network):
        dashboard.histogram(step, tag, values)


def show_features(dashboard: Dashboard, network: TwoTaskNetwork, test: NoduleDataset) -> None:
    """Write where the network puts the test crops: the fc features that each head reads.

    Args:
        dashboard: where to.
        network: at the end of its training.
        test: the test part; at most MOST_POINTS of it are shown, evenly spaced.
    """
    places = np.linspace(0, len(test) - 1, min(len(test), MOST_POINTS)).astype(int)
    part = test.subset(places)
    for task, points in features(network, part).items():
        if np.isfinite(points).all():
            dashboard.embedding(f"fc/{task}", points, _columns(part))


def _settings(config: Config) -> dict[str, str | int | float]:
    """{group/setting: value} without where the run writes.

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
    return settings


def _sharing(network: TwoTaskNetwork) -> Iterator[tuple[str, np.ndarray]]:
    """Each site's shares by output and, unless they are too many, its weights."""
    for site, shares in network.output_shares().items():
        for task, values in shares.items():
            yield f"shares_{task}/{site}", values
        for name, weight in network.units[site].named_parameters():
            if weight.size <= MOST_WEIGHTS:
                yield f"weights_{name}/{site}", weight.numpy()


def _columns(part: NoduleDataset) -> dict[str, list[str]]:
    """What each point is: its labels first, by which VisualDL colours them."""
    columns = {}
    for task, names in part.label_set.task_classes.items():
        columns[task] = [names[label] if label >= 0 else "no label" for label in part.labels[task]]
    rows = part.manifest.rows
    columns["nodule"] = [f"{row.patient_id} nodule {row.nodule}" for row in rows]
    columns["image"] = [row.image for row in rows]
    return columns
