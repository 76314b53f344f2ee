"""The record of a training: one folder that holds all that is needed to evaluate, resume, export
and explain it, without its crops.

==================================  ============================================================
``config.yaml``                     every setting
``split.csv``                       what it trains on and what it holds out
``environment.json``                machine, versions, commit and date: the paper's Table 1
``table2.csv``, ``vdl/``            loss and accuracies by step
``latest.safetensors``, ``.json``   the weights that are evaluated and exported, and their digest
``latest_optimizer.safetensors``    what ``--resume`` needs beside them
``predictions.csv``                 the held-out crops with each task's probabilities
``calibration.json``                of a cross-validation: what corrects these, out of fold
``metrics.json``                    the scores of exactly these weights on exactly these crops
==================================  ============================================================
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lungdx_paddle.config import config_text, load_config, save_config
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.baselines import Baselines
from lungdx_paddle.evaluation.leakage import Leakage
from lungdx_paddle.evaluation.predictions import Predictions, read_predictions
from lungdx_paddle.evaluation.scores import evaluate
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.models.ensemble import Ensemble, Trained
from lungdx_paddle.models.network import build_network
from lungdx_paddle.settings import FOLD, Config
from lungdx_paddle.training.checkpoint import (
    CHECKPOINT,
    WEIGHTS,
    digest,
    file_digest,
    load_weights,
    read_checkpoint_state,
)
from lungdx_paddle.training.run_metrics import METRICS, PREDICTIONS, RESULTS, Digests, RunMetrics
from lungdx_paddle.training.split_record import SPLIT, SplitRecord

CONFIG, ENVIRONMENT = "config.yaml", "environment.json"
TABLE2, LOG, CURVES = "table2.csv", "vdl", "curves.png"
EVALUATION, NOT_FINITE = "eval", "not_finite"
"""Folders of a later evaluation and of a step that gave no number, inside the run's."""

_FILES = (CONFIG, *RESULTS, TABLE2, CURVES, ENVIRONMENT, SPLIT, *CHECKPOINT)
"""Removed in this order: without its config.yaml a folder is no run."""


@dataclass(frozen=True, repr=False)
class Run:
    """A training that was started: its settings, its crops, and how far it is."""

    folder: Path
    config: Config
    record: SplitRecord

    def __repr__(self) -> str:
        state = "finished" if self.is_finished else f"step {self.step} of {self.config.train.steps}"
        return f"Run({str(self.folder)!r}, {state}, {self.record!r})"

    @property
    def members(self) -> tuple[Path, ...]:
        """Folder of each network: its own, or those of a cross-validation's folds."""
        if not self.config.is_ensemble:
            return (self.folder,)
        return tuple(self.folder / f"{FOLD}{k}" for k in range(self.config.data.folds))

    @property
    def trainings(self) -> tuple[str, ...]:
        """Digest of the settings and crops of each network, which its checkpoint has to name."""
        if not self.config.is_ensemble:
            return (training_digest(self.config, self.record),)
        return tuple(
            training_digest(self.config.of_fold(k), self.record.of_fold(k))
            for k in range(self.config.data.folds)
        )

    @property
    def step(self) -> int:
        """Steps done, by the last checkpoint; of a cross-validation by the slowest fold."""
        steps = []
        for folder, training in zip(self.members, self.trainings):
            try:
                steps.append(read_checkpoint_state(folder, training).step)
            except CheckpointError:
                return 0
        return min(steps)

    @property
    def digests(self) -> Digests:
        """Digests of settings, crops, split, weights and results, as the files are now.

        Raises:
            CheckpointError: a network has no checkpoint yet, or that of another training.
        """
        weights = []
        for folder, training in zip(self.members, self.trainings):
            # One that was left half renamed is completed first.
            read_checkpoint_state(folder, training)
            weights.append(file_digest(folder / WEIGHTS))
        joined = weights[0] if len(weights) == 1 else digest("".join(weights).encode())
        _, *results = (self.folder / name for name in RESULTS)
        predicted, calibration = (file_digest(p) if p.is_file() else "" for p in results)
        return Digests(
            config=config_digest(self.config),
            data=self.record.digest,
            split=self.record.split_digest,
            weights=joined,
            predictions=predicted,
            calibration=calibration,
        )

    @property
    def is_finished(self) -> bool:
        """Whether its metrics are those of its present weights, settings and crops."""
        try:
            metrics = RunMetrics.read(self.folder / METRICS)
            done = metrics.step == self.step == self.config.train.steps
            return done and metrics.part == self.part and metrics.digests == self.digests
        except CheckpointError:
            return False

    @property
    def metrics(self) -> RunMetrics:
        """The scores at its end; a CheckpointError if it is not finished, or they are of others."""
        if not self.is_finished:
            raise CheckpointError(
                str(self.folder),
                expected="a finished training",
                found=f"one at step {self.step} of {self.config.train.steps}, or metrics of others",
                fix="go on with tools/train.py --resume, or evaluate it with tools/eval.py",
            )
        return RunMetrics.read(self.folder / METRICS)

    @property
    def predictions(self) -> Predictions:
        """What the networks predict for the held-out crops, at the end of the training.

        Raises:
            CheckpointError: as :attr:`metrics`.
        """
        _ = self.metrics
        return read_predictions(self.folder / PREDICTIONS)

    @property
    def environment(self) -> Environment:
        """Where the training was started; a CheckpointError if that is not recorded."""
        return Environment.read(self.folder / ENVIRONMENT)

    def network(self) -> Trained:
        """Build the trained network, or ensemble, in inference mode, on the device in use.

        Raises:
            CheckpointError: its weights are missing, damaged, or do not fit its config; of a
                cross-validation also where a fold is of another training; or it was trained
                with other settings, crops or another split than the run's.
        """
        if self.config.is_ensemble:
            for fold in range(self.config.data.folds):
                self.member(fold)
        networks = []
        for folder, training in zip(self.members, self.trainings):
            networks.append(build_network(self.config))
            load_weights(networks[-1], folder, training)
        network = Ensemble(networks) if self.config.is_ensemble else networks[0]
        network.eval()
        return network

    def member(self, fold: int) -> Run:
        """The run of one network of a cross-validation.

        Raises:
            CheckpointError: it is missing, or of other settings, crops or another split.
        """
        member = load_run(self.members[fold])
        own, expected = member.record, self.record.of_fold(fold)
        same_crops = (own.digest, own.split_digest) == (expected.digest, expected.split_digest)
        settings = learned_config(self.config.of_fold(fold))
        if not same_crops or learned_config(member.config) != settings:
            raise CheckpointError(
                str(member.folder),
                expected=f"fold {fold} of the cross-validation in {self.folder}",
                found=f"a training of other {'settings' if same_crops else 'crops'}",
                fix="train the cross-validation anew, without --resume",
            )
        return member

    @property
    def part(self) -> str:
        """Which of its own crops it is evaluated on, in words."""
        data = self.config.data
        if self.config.is_ensemble:
            return f"{data.folds} folds by {data.split}, each by a network without it"
        return f"test part of the split by {data.split}"

    def score(
        self, predictions: Predictions, beside: Baselines, leaks: Leakage, path: str, device: str
    ) -> RunMetrics:
        """The metrics of its weights as they are now, on its own held-out crops or on others.

        Args:
            predictions: of the crops that are scored.
            beside: answers to the same crops without a network.
            leaks: what they share with the training part.
            path: of the manifest that they come from.
            device: in Paddle's words.

        Raises:
            CheckpointError: there are no weights yet.
        """
        return RunMetrics(
            run=self.config.name,
            step=self.step,
            digests=self.digests,
            data="phantom" if predictions.source == "phantom" else path,
            part=self.part,
            split=self.config.data.split,
            folds=self.config.data.folds if self.config.is_ensemble else 0,
            test=evaluate(predictions, baselines=beside),
            uncalibrated=evaluate(predictions.raw) if predictions.raw else None,
            train=None,
            leakage=leaks,
            environment=Environment.current(device),
        )


def load_run(folder: Path) -> Run:
    """Open the output folder of a training, finished or not.

    Raises:
        CheckpointError: it is no such folder, or its record is damaged.
        ConfigError: its config.yaml is damaged.
    """
    if not (folder / CONFIG).is_file():
        raise CheckpointError(
            str(folder),
            expected="the output folder of tools/train.py",
            found=f"no {CONFIG} in it" if folder.is_dir() else "no such folder",
            fix="train first, or give the folder with --run",
        )
    return Run(folder, load_config(folder / CONFIG), SplitRecord.read(folder / SPLIT))


def start_run(config: Config, record: SplitRecord, device: str, resume: bool = False) -> Run:
    """Start or continue the record of a training in its output folder.

    The results of an earlier training there are removed first, so that none outlives it.

    Args:
        config: of the training.
        record: its crops.
        device: in Paddle's words.
        resume: keep what is there; only steps and rows of the config may have changed.

    Raises:
        OutputError: the folder cannot be written to.
    """
    folder = writable_folder(config.output_folder)
    if not resume:
        with writing(folder):
            for name in _FILES:
                for path in folder.glob(f"{name}*"):
                    path.unlink()
            for name in (LOG, EVALUATION, NOT_FINITE):
                shutil.rmtree(folder / name, ignore_errors=True)
        record.write(folder / SPLIT)
        Environment.current(device).write(folder / ENVIRONMENT)
    save_config(config, folder / CONFIG)
    return Run(folder, config, record)


def learned_config(config: Config) -> Config:
    """The config with every setting that cannot change the trained weights set to a fixed value.

    These are names and places, the rows of Table 2, and, where the learning rate does not depend on
    it, the number of steps; the crops have a digest of their own.
    """
    steps = 1 if config.train.schedule == "constant" else config.train.steps
    return replace(
        config,
        name="",
        output="",
        data=replace(config.data, manifest="", phantom_patients=4),
        train=replace(config.train, steps=steps, log_every=1),
    )


def config_digest(config: Config) -> str:
    """BLAKE2b of every setting that can change the trained weights."""
    return digest(config_text(learned_config(config)).encode())


def training_digest(config: Config, record: SplitRecord) -> str:
    """BLAKE2b of all that a network's weights follow from: settings, crops and split."""
    return digest("".join([config_digest(config), record.digest, record.split_digest]).encode())
