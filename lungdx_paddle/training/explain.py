"""What a finished training looks at, on crops of its test part."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset, load_split
from lungdx_paddle.data.labels import MALIGNANCY, UNLABELLED
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.evaluation.saliency import saliency
from lungdx_paddle.figures.level_examples import examples_by_level
from lungdx_paddle.figures.saliency_maps import draw_saliency
from lungdx_paddle.runtime import set_up
from lungdx_paddle.training.run import load_run

if TYPE_CHECKING:  # matplotlib takes long to import, and a training draws nothing
    from matplotlib.figure import Figure


def explain_run(run: Path, per_level: int = 1, weights: str = "latest") -> Figure:
    """Draw the saliency of both tasks on a few crops of a run's test part.

    Each map explains what the network answers, right or wrong.  Above it stand the answer, its
    probability, the label, and the map's sum: what it gained over a black image.

    Args:
        run: a folder that tools/train.py wrote.
        per_level: crops of each malignancy level, chosen by :func:`crops_to_explain`.
        weights: latest (those of the last step, as in the run's metrics) or best_model.

    Raises:
        CheckpointError: the run cannot be read.
        ManifestError: its crops cannot be read, or no test crop has a malignancy rating.
    """
    config, network = load_run(run, weights)
    set_up(None, config.seed)
    dataset, split = load_split(config.data)
    chosen = crops_to_explain(dataset.subset(split.test), per_level)
    maps = saliency(network, chosen.images)
    said = predict(network, chosen)
    captions = {"image": [row.patient_id for row in chosen.manifest.rows]}
    for task, values in maps.items():
        captions[task] = _answers(said, task, values.sum(axis=(1, 2)))
    title = f"{config.name}, test part of the split by {config.data.split}, seed {config.seed}"
    return draw_saliency(chosen.images, maps, captions, title)


def crops_to_explain(test: NoduleDataset, per_level: int) -> NoduleDataset:
    """Choose, of the crops that every task has a label for, some of each malignancy level.

    Nothing that a network says has a part in it
    (:func:`lungdx_paddle.figures.level_examples.examples_by_level`).  Where no crop has all
    labels, they are of all crops; a level without a crop is left out.

    Raises:
        ManifestError: no crop has a malignancy label.
    """
    labelled = np.all([labels != UNLABELLED for labels in test.labels.values()], axis=0)
    candidates = test.subset(np.flatnonzero(labelled)) if labelled.any() else test
    found = examples_by_level(candidates, per_level)
    return candidates.subset([i for indices in found.values() for i in indices])


def _answers(said: Predictions, task: str, sums: np.ndarray) -> list[str]:
    """What the network answers, how sure it is, what the label is, and the map's sum."""
    names: dict[int, str] = dict(enumerate(said.label_set.task_classes[task]))
    if task == MALIGNANCY:
        names = {label: f"level {name}" for label, name in names.items()}
    lines = []
    for i, (answer, label) in enumerate(zip(said.classes[task], said.labels[task])):
        sure = f"says {names[int(answer)]} ({said.probabilities[task][i, answer]:.2f})"
        known = f"label: {names[int(label)]}" if label != UNLABELLED else "no label"
        parts = (sure, known, f"over black: {sums[i]:+.1f}")
        lines.append("\n".join(line for part in parts for line in textwrap.wrap(part, 26)))
    return lines
