"""Saliency of a trained network on crops of its test part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.data.labels import UNLABELLED
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.evaluation.saliency import saliency
from lungdx_paddle.manifest import manifest_file
from lungdx_paddle.runtime import set_up
from lungdx_paddle.training.run import Run, load_run
from lungdx_paddle.training.split_record import TEST

Choose = Callable[[NoduleDataset, int], Mapping[str, Sequence[int]]]
"""(crops, how many a level) -> {malignancy level: indices of the chosen crops}."""


@dataclass(frozen=True)
class Explanation:
    """A network's predictions for some crops, and the saliency maps that explain them."""

    run: Run
    images: np.ndarray
    """(n, 32, 32) uint8."""
    predictions: Predictions
    maps: Mapping[str, np.ndarray]
    """{task: (n, 32, 32) float64}: integrated gradients over a black image, in nats."""


def explain_run(
    folder: Path,
    choose: Choose,
    per_level: int = 1,
    device: str | None = None,
    manifest: str | None = None,
) -> Explanation:
    """Explain a run's predictions for a few crops of its test part by saliency maps.

    The crops are chosen by a rule that does not depend on the predictions, among those that
    every task has a label for; where there are none, among all.

    Args:
        folder: a folder that tools/train.py wrote.
        choose: the rule.
        per_level: crops of each malignancy level.
        device: cpu, gpu or None.
        manifest: where the run's crops are now; None: where they were.

    Raises:
        CheckpointError: the run cannot be read.
        ManifestError: its crops cannot be read, or no test crop has a malignancy rating.
    """
    run = load_run(folder)
    set_up(device, run.config.seed)
    network = run.network()
    crops_file = manifest_file(manifest or run.config.data.manifest)
    there = crops_file.is_file()
    dataset = load_dataset(replace(run.config.data, manifest=str(crops_file))) if there else None
    held_out: list[int] = []
    if dataset is not None:
        run.record.check_made_alike(dataset.manifest)
        fold = 0 if run.config.is_ensemble else None
        seen = run.record.seen(dataset, run.config.data.split, fold)
        parts = zip(run.record.find(dataset).tolist(), run.record.parts)
        held_out = [i for i, part in parts if i >= 0 and part in (TEST, "0") and not seen[i]]
    if dataset is None or not held_out:
        raise ManifestError(
            str(crops_file),
            expected=f"crops of the test part of {folder}",
            found="none of them" if there else "no such file",
            fix="give the manifest.csv of the run's crops with --manifest",
        )
    test = dataset.subset(held_out)
    labelled = np.all([labels != UNLABELLED for labels in test.labels.values()], axis=0)
    candidates = test.subset(np.flatnonzero(labelled)) if labelled.any() else test
    chosen = choose(candidates, per_level)
    crops = candidates.subset([i for indices in chosen.values() for i in indices])
    member = network.members[0]  # of a cross-validation the network that fold 0 was kept from
    return Explanation(run, crops.images, predict(member, crops), saliency(member, crops.images))
