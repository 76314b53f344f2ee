"""One step of a training: what it takes, what it changes, what it logs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle

from lungdx_paddle.data.augment import augmented
from lungdx_paddle.data.dataset import NoduleDataset, TrainingOrder, check_labels, load_split
from lungdx_paddle.data.splits import Split
from lungdx_paddle.errors import ConfigError, LungdxError
from lungdx_paddle.evaluation.metrics import with_combined
from lungdx_paddle.models.network import TwoTaskNetwork, build_network
from lungdx_paddle.settings import Config, TrainConfig
from lungdx_paddle.training.losses import l2_loss, labelled, task_losses
from lungdx_paddle.training.optimizer import Optimizer
from lungdx_paddle.training.parallel.processes import Processes, join, share_batches
from lungdx_paddle.training.parallel.threads import Threads, share_towers

SEED_STRIDE = 1_000_003
"""Apart from each other: the seeds of one run's steps and of the next run's."""


AUGMENTATION = 1
"""Parts the augmentation's draws from those of the images' order, which have the same seed."""


class TrainingError(LungdxError):
    """Training cannot go on."""


@dataclass
class Run:
    """One training: what it learns from, what it changes, how far it is."""

    config: Config
    train: NoduleDataset
    test: NoduleDataset
    split: Split
    network: TwoTaskNetwork
    optimizer: Optimizer
    order: TrainingOrder
    processes: Processes = field(default_factory=Processes)
    threads: Threads = field(default_factory=Threads)
    step: int = 0
    """Steps done."""
    best: float = -1.0
    """Highest accuracy on the training part at a row of Table 2."""
    best_step: int = 0

    def __post_init__(self) -> None:
        settings = self.config.train
        self.forward: Callable[..., dict[str, paddle.Tensor]] = self.network
        if settings.to_static:
            self.forward = paddle.jit.to_static(self.network.forward)

    @property
    def folder(self) -> Path:
        """Where it writes."""
        return self.config.output_folder


def prepare(config: Config) -> Run:
    """Read the data and build network and optimizer; nothing is trained or written."""
    if config.train.amp != "none" and paddle.device.get_device() == "cpu":
        raise ConfigError(
            f"train.amp={config.train.amp}",
            expected="a GPU, on which numbers of 16 bit are faster",
            found="a training on the CPU",
            fix="set train.amp=none, or use --device gpu",
        )
    processes = join()
    dataset, split = processes.one_first(lambda: load_split(config.data, config.seed))
    training, test = dataset.subset(split.train), dataset.subset(split.test)
    check_labels(training, config.data.manifest, tuple(training.labels))
    network = build_network(config)
    network.set_normalisation(*training.pixel_statistics())
    order = TrainingOrder(len(training), config.data.batch_size, config.seed)
    share_batches(network, processes, order.batch_size)
    threads = share_towers(network, processes, config.train.to_static)
    optimizer = Optimizer(network, config.train, threads)
    return Run(config, training, test, split, network, optimizer, order, processes, threads)


def training_step(run: Run) -> tuple[float, dict[str, float | None]]:
    """Make one step; return its total loss and what it logs, {tag: value} on its batch."""
    settings, decayed = run.config.train, run.network.decayed()
    # Dropout's draw depends on the step alone, so a resumed run draws the same.
    paddle.seed(run.config.seed * SEED_STRIDE + run.step)
    batch = run.train.batch(run.order.indices(run.step))
    random = np.random.default_rng([run.config.seed, run.step, AUGMENTATION])
    images = augmented(batch.images, run.config.augment, random)
    run.optimizer.learning_rate = learning_rate(settings, run.step)
    mine = run.processes.part(len(images))
    labels = {task: values[mine] for task, values in batch.labels.items()}
    counts = labelled(batch.labels)
    run.network.train()
    with _precision(settings):
        logits = run.forward(paddle.to_tensor(images[mine]))
        losses = task_losses(logits, labels, counts)
    values, right = _of_all(run.processes, losses, _right(logits, labels))
    total = sum(values.values()) + l2_loss(decayed, settings.weight_decay)
    # Before backward: a max-pool of NaN remembers no place, and its gradient would be
    # written to one outside the array.
    _check_finite(run, total)
    run.optimizer.backward(sum(losses.values()))
    run.processes.add([w.grad for w in run.network.parameters() if w.grad is not None])
    run.optimizer.step()
    run.step += 1
    accuracies = {t: right[t] / counts[t] if counts[t] else None for t in right}
    return total, {
        "loss/total": total,
        **{f"loss/{task}": value for task, value in values.items()},
        **{f"accuracy_batch/{task}": value for task, value in with_combined(accuracies).items()},
    }


def learning_rate(settings: TrainConfig, step: int) -> float:
    """The learning rate of a step, counted from 0; it depends on nothing else."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1.0 + math.cos(math.pi * step / settings.steps)) / 2.0


def _precision(settings: TrainConfig) -> Any:
    """Where ``train.amp`` asks for it, convolutions and products take numbers of 16 bit."""
    none = settings.amp == "none"
    return paddle.amp.auto_cast(enable=not none, dtype="float16" if none else settings.amp)


def _right(logits: Mapping[str, paddle.Tensor], labels: Mapping[str, np.ndarray]) -> dict[str, int]:
    """How many images each task names rightly; what has no label is never right."""
    return {t: int((logits[t].numpy().argmax(axis=1) == labels[t]).sum()) for t in logits}


def _of_all(
    processes: Processes, losses: Mapping[str, paddle.Tensor], right: Mapping[str, int]
) -> tuple[dict[str, float], dict[str, float]]:
    """The processes' losses and right answers, added up."""
    tensor = paddle.to_tensor([*(float(v) for v in losses.values()), *map(float, right.values())])
    processes.add([tensor])
    found = tensor.tolist()
    return dict(zip(losses, found)), dict(zip(right, found[len(losses) :]))


def _check_finite(run: Run, loss: float) -> None:
    if not np.isfinite(loss):
        last = f"; the checkpoint of the last full row is in {run.folder}" if run.best_step else ""
        raise TrainingError(
            f"step {run.step}",
            expected="a loss that is a number",
            found=str(loss),
            fix=f"lower train.learning_rate (now {run.config.train.learning_rate:g}){last}",
        )
