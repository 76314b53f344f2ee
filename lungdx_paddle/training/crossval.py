"""Cross-validation: one network a fold, each scored on its fold; together they are one model.

The scores are those of single networks on crops they were not trained on, calibrated by what was
fitted on the other folds.  The exported model is the mean of all networks with the calibration of
all folds; it was trained on every fold, and on new patients it should do a little better than
these scores.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.locks import alone_in
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import set_up
from lungdx_paddle.settings import Config
from lungdx_paddle.training.held_out import held_out_baselines, predict_held_out
from lungdx_paddle.training.parallel.jobs import JobOptions, train_all
from lungdx_paddle.training.run import CONFIG, start_run
from lungdx_paddle.training.run_calibration import RunCalibration
from lungdx_paddle.training.run_metrics import RunMetrics, write_results
from lungdx_paddle.training.split_record import SplitRecord
from lungdx_paddle.training.trainer import resumable, train


def train_any(config: Config, options: JobOptions) -> RunMetrics | None:
    """Train what a config describes: one network, or one for each fold.

    Args:
        config: with ``data.manifest`` set.
        options: device, resume, and how many folds are trained at once.

    Returns:
        What stands in ``metrics.json``; None in a process that is not rank 0.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.trainer.train`.
    """
    if config.is_ensemble:
        return cross_validate(config, options)
    return train(config, options.device, options.resume, options.pictures)


def cross_validate(config: Config, options: JobOptions) -> RunMetrics:
    """Train a network for each fold and score each on its own fold.

    Raises:
        LungdxError: as :func:`lungdx_paddle.training.trainer.train`.
    """
    with alone_in(config.output_folder):
        return _cross_validate(config, options)


def _cross_validate(config: Config, options: JobOptions) -> RunMetrics:
    place = set_up(options.device, config.seed)
    dataset = load_dataset(config.data)
    begun = options.resume and (config.output_folder / CONFIG).is_file()
    earlier = resumable(config) if begun else None
    record = earlier.record if earlier else SplitRecord.deal(dataset, config)
    folds = [config.of_fold(k) for k in range(config.data.folds)]
    goes_on = [begun and (fold.output_folder / CONFIG).is_file() for fold in folds]
    if earlier:
        dataset = record.align(dataset, config.data.manifest)
        for k in np.flatnonzero(goes_on).tolist():  # before anything is written
            earlier.member(k)
            resumable(folds[k])
    run = start_run(config, record, place, begun)
    for k, fold in enumerate(folds):  # a fold's part is dealt here, once, not in each training
        with alone_in(fold.output_folder):
            start_run(fold, record.of_fold(k), place, goes_on[k])
    train_all(folds, replace(options, resume=True))
    predictions, tested_by, leakage = predict_held_out(run, run.network(), dataset)
    calibration = RunCalibration.fit(predictions, tested_by)
    calibration.write(run)
    for why in calibration.shipped.why:
        log.info("Not calibrated: %s", why)
    predictions = calibration.apply(predictions, tested_by)
    beside = held_out_baselines(run, predictions, dataset)
    metrics = run.score(predictions, beside, leakage, config.data.manifest, place)
    return write_results(run.folder, metrics, predictions)
