"""Evaluate a run on crops that its networks were not trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from lungdx_paddle.data.dataset import NoduleDataset, load_dataset
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.evaluation.baselines import BASELINES, Baselines, baseline_predictions
from lungdx_paddle.evaluation.leakage import Leakage, leakage
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.manifest import Manifest
from lungdx_paddle.models.ensemble import Trained
from lungdx_paddle.runtime import set_up
from lungdx_paddle.settings import DataConfig
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_calibration import OF_ALL, calibration_of
from lungdx_paddle.training.run_metrics import RunMetrics
from lungdx_paddle.training.split_record import (
    TEST,
    DataChanges,
    SplitRecord,
    pixel_digests,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Evaluation:
    """The scores of a run, what they were computed from, and what is doubtful about the crops."""

    metrics: RunMetrics
    predictions: Predictions
    """Calibrated, where the run has a calibration."""
    changes: DataChanges
    """How the manifest now differs from the recorded crops; empty for another manifest."""


def evaluate_run(
    run: Run, data: DataConfig | None = None, every: bool = False, device: str | None = None
) -> Evaluation:
    """Score a run.

    By default on its own held-out crops, as far as the manifest still has them; of other crops on
    those that share no image, nodule or patient (as the run was split) with its training part.

    Args:
        run: a training with a checkpoint.
        data: where other crops are; None: the run's own.
        every: score all crops, also those it was trained on.
        device: cpu, gpu or None.

    Raises:
        CheckpointError: the run has no weights.
        ManifestError: the crops are missing or damaged, were made by another rule or window, or
            all of them were trained on.
    """
    place = set_up(device, run.config.seed)
    network, step, weights, calibration = steady(
        run, lambda: (run.network(), run.step, run.digests.weights, calibration_of(run))
    )
    config = run.config.data if data is None else data
    own = config == run.config.data
    dataset = load_dataset(config)
    run.record.check_made_alike(dataset.manifest)
    fold: np.ndarray | int = OF_ALL
    if every:
        predictions, found = predict(network, dataset), leakage(run.record.rows, dataset)
    else:
        predictions, fold, found = predict_held_out(run, network, dataset, own)
    predictions = calibration.apply(predictions, fold) if calibration else predictions
    present = SplitRecord.of(dataset, [TEST] * len(dataset))
    crops = dataset if own else own_crops(run) or dataset
    beside = held_out_baselines(run, predictions, crops, every)
    metrics = run.score(predictions, beside, found, config.manifest, place)
    others = f"crops whose {run.config.data.split} the run was not trained on"
    metrics = replace(
        metrics,
        step=step,
        digests=replace(metrics.digests, data=present.digest, weights=weights),
        part="all crops" if every else run.part if own else others,
    )
    return Evaluation(metrics, predictions, run.record.changes(dataset) if own else DataChanges())


def held_out_baselines(
    run: Run, predictions: Predictions, crops: NoduleDataset, every: bool = False
) -> Baselines:
    """Answer the same crops by baselines that are fitted to what each network was trained on.

    Args:
        run: its record says what that is.
        predictions: of the run's networks, as :func:`predict_held_out` makes them.
        crops: the run's own, among others or not.
        every: each network predicted each crop, whatever it was trained on.
    """
    folds = list(range(run.config.data.folds)) if run.config.is_ensemble else [None]
    place = run.record.find(crops)
    trained = [place[run.record.training_rows(fold)] for fold in folds]
    if predictions.images is None or min(of.min() for of in trained) < 0:
        why = "crops of the training part are not there any more"
        return dict.fromkeys(BASELINES, why)
    rows = [np.arange(len(predictions))] * len(folds)
    if run.config.is_ensemble and not every:
        manifest = Manifest(Path(), predictions.rows)
        asked = NoduleDataset(manifest, crops.label_set, predictions.images)
        by = run.config.data.split
        rows = [np.flatnonzero(~run.record.seen(asked, by, fold)) for fold in folds]
    return baseline_predictions(crops, predictions, list(zip(trained, rows)))


def steady(run: Run, read: Callable[[], T]) -> T:
    """What ``read`` returns of a run, read again where a training has replaced its checkpoint."""
    while True:
        before, found = run.digests.weights, read()
        if run.digests.weights == before:
            return found


def predict_held_out(
    run: Run, network: Trained, dataset: NoduleDataset, own: bool = True
) -> tuple[Predictions, np.ndarray, Leakage]:
    """Predict the crops of a dataset that a run's networks were not trained on.

    Each crop by the networks whose training part has nothing of its image, nodule or patient, as
    the run was split: by one network its test part; by a cross-validation each crop by the
    network of its fold, and a patient of no fold by the mean of all.

    Args:
        run: its record says what each network was trained on.
        network: the run's network or ensemble.
        dataset: the run's own crops, or others.
        own: leave out crops that the record does not know.

    Returns:
        Predictions of those crops as the networks give them; (n,) whose network, a fold's or
        ``OF_ALL``; and what leaks, summed over the networks.

    Raises:
        ManifestError: all crops were trained on.
    """
    recorded = dataset if own else own_crops(run)
    place = run.record.find(recorded) if recorded else np.full(len(run.record.rows), -1)
    if own:
        dataset = dataset.subset(np.sort(place[place >= 0]))
    sums: dict[str, np.ndarray] = {}
    networks, last = np.zeros((2, len(dataset)), dtype=np.int64)
    leaks = []
    for k, member in enumerate(network.members):
        fold = k if run.config.is_ensemble else None
        rows = np.flatnonzero(~run.record.seen(dataset, run.config.data.split, fold))
        networks[rows] += 1
        last[rows] = k
        test = dataset.subset(rows)
        for task, p in (predict(member, test).probabilities if len(rows) else {}).items():
            sums.setdefault(task, np.zeros((len(dataset), p.shape[1]), p.dtype))[rows] += p
        trained = run.record.training_rows(fold)
        at_hand = recorded is not None and (place[trained] >= 0).all()
        images = recorded.images[place[trained]] if recorded and at_hand else None
        leaks.append(leakage([run.record.rows[i] for i in trained], test, images))
    if not networks.any():
        raise ManifestError(
            "the crops to evaluate",
            expected=f"some whose {run.config.data.split} the run was not trained on",
            found=f"{len(dataset)} crops, all of them in its training part",
            fix="give other crops, or --all to score these, too",
        )
    rows = np.flatnonzero(networks)
    means = {t: p[rows] / networks[rows, np.newaxis].astype(p.dtype) for t, p in sums.items()}
    part = dataset.subset(rows)
    found = Predictions(tuple(part.manifest.rows), part.labels, means, part.label_set, part.images)
    of_one = np.where(networks[rows] == 1, last[rows], OF_ALL)
    return found, of_one, sum(leaks[1:], leaks[0])


def own_crops(run: Run) -> NoduleDataset | None:
    """The crops of the run's own manifest, if it is still there."""
    try:
        return load_dataset(run.config.data)
    except ManifestError:
        return None


def scored_predictions(run: Run) -> Predictions:
    """What a run holds out, as its scores in ``metrics.json`` have it: calibrated where it is.

    The crops are with it where all of them are still where they were, as they were.

    Raises:
        CheckpointError: the training is not finished, or a file of its record is damaged.
    """
    predictions, calibration = run.predictions, calibration_of(run)
    place = {row.image: i for i, row in enumerate(run.record.rows)}
    recorded = np.array([place[row.image] for row in predictions.rows])
    if calibration:
        folds = np.array([int(part) for part in run.record.parts])
        predictions = calibration.apply(predictions, folds[recorded])
    dataset = own_crops(run)
    if dataset is None:
        return predictions
    there = run.record.find(dataset)[recorded]
    digests = np.array(pixel_digests(dataset.images))[there]
    same = there.min() >= 0 and (digests == np.array(run.record.pixels)[recorded]).all()
    return replace(predictions, images=dataset.images[there]) if same else predictions
