"""One step of a training: forward, masked losses, backward, update."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import paddle
from paddle.nn import functional

from lungdx_paddle.data.augment import augmented
from lungdx_paddle.data.dataset import NoduleDataset, TrainingOrder
from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY, PATHOLOGY, UNLABELLED, labels_of
from lungdx_paddle.errors import ConfigError, LungdxError, ManifestError
from lungdx_paddle.models.network import TwoTaskNetwork, build_network
from lungdx_paddle.settings import Config, TrainConfig
from lungdx_paddle.training.optimizer import Optimizer, l2_loss
from lungdx_paddle.training.parallel.processes import Processes, data_parallel
from lungdx_paddle.training.parallel.threads import Threads, share_towers

SEED_STRIDE = 1_000_003
"""Larger than any number of steps, so that seeds of two runs do not overlap."""

RANK_STRIDE = 2**32
"""Larger than any seed, so that the dropout of two processes does not, either."""

AUGMENTATION = 1
"""Stream id: keeps augmentation's random numbers apart from shuffling's."""


class TrainingError(LungdxError):
    """Training cannot go on."""


class NotFiniteError(TrainingError):
    """A step gives no number.

    Args:
        state: of the training.
        step: that gives none, counted from 0.
        expected: what should be numbers.
        found: what there is.
        losses: {task or L2: loss}, none if it is not the loss.
    """

    def __init__(
        self,
        state: TrainingState,
        step: int,
        expected: str,
        found: str,
        losses: Mapping[str, float],
    ) -> None:
        self.where = f"{state.config.output_folder}: step {step}"
        self.fix = f"lower train.learning_rate (now {state.config.train.learning_rate:g})"
        if losses:
            found += f" ({', '.join(f'{name} {value:.4g}' for name, value in losses.items())})"
        self.step, self.expected, self.found, self.losses = step, expected, found, losses
        super().__init__(self.where, expected, found, self.fix)


@dataclass
class TrainingState:
    """Everything that a training step reads or changes."""

    config: Config
    train: NoduleDataset
    test: NoduleDataset
    network: TwoTaskNetwork
    forward: Callable[[paddle.Tensor], Mapping[str, paddle.Tensor]]
    """The network as it is trained: compiled or distributed where the config says so."""
    optimizer: Optimizer
    order: TrainingOrder
    processes: Processes
    threads: Threads
    step: int = 0
    """Steps done."""


@dataclass(frozen=True)
class StepResult:
    """Loss and accuracy of one step on its batch, before its update."""

    loss: float
    """The tasks' and the L2 loss."""
    losses: Mapping[str, float]
    """{task: mean cross-entropy over the batch's labelled images, 0 without any}."""
    accuracies: Mapping[str, float | None]
    """{task: accuracy on the batch's labelled images, None without any}."""
    learning_rate: float


def prepare(
    config: Config, train: NoduleDataset, test: NoduleDataset, processes: Processes | None = None
) -> TrainingState:
    """Build network and optimizer; nothing is trained or written.

    Call :func:`lungdx_paddle.runtime.set_up` first: the network is built on its device.

    Args:
        config: of the training.
        train: training part; its pixels' mean and deviation become part of the network.
        test: held-out part.
        processes: that share the training; None: this one alone.

    Raises:
        ConfigError: mixed precision where the device has none, or more processes than a
            batch has images for.
    """
    processes, settings = processes or Processes(), config.train
    cpu = paddle.device.get_device() == "cpu"
    if settings.amp != "none" and cpu:
        raise ConfigError(
            f"train.amp={settings.amp}",
            expected="a GPU, on which numbers of 16 bit are faster",
            found="a training on the CPU",
            fix="set train.amp=none, or use --device gpu",
        )
    if settings.amp == "bfloat16" and not paddle.amp.is_bfloat16_supported():
        raise ConfigError(
            "train.amp=bfloat16",
            expected="a GPU that computes in bfloat16 (compute capability 8.0 or more)",
            found=paddle.device.cuda.get_device_name(),
            fix="set train.amp=float16",
        )
    network = build_network(config)
    network.set_normalisation(*train.pixel_statistics())
    order = TrainingOrder(len(train), config.data.batch_size, config.seed)
    if settings.to_static:
        network.forward = paddle.jit.to_static(network.forward)  # type: ignore[method-assign]
    forward = data_parallel(network, processes, order.batch_size)
    threads = share_towers(network, processes, settings.to_static)
    optimizer = Optimizer(network, settings, threads)
    return TrainingState(
        config, train, test, network, forward, optimizer, order, processes, threads
    )


def check_labels(config: Config, train: NoduleDataset, test: NoduleDataset) -> None:
    """Refuse a training in which a task would learn nothing.

    Raises:
        ManifestError: a task has no labelled training image.
    """
    for task, labels in train.labels.items():
        if (labels != UNLABELLED).any():
            continue
        others = [
            name
            for name, label_set in LABEL_SETS.items()
            if task in label_set.task_classes
            and (labels_of(train.manifest, label_set)[task] != UNLABELLED).any()
        ]
        needs = LABEL_SETS[config.data.label_set].needs if task == PATHOLOGY else ()
        rows = train.manifest.rows
        lacking = [name for name in needs if not any(getattr(row, name) for row in rows)]
        if (test.labels[task] != UNLABELLED).any():
            fix = "its labels are all in the test part: set another data.split_seed"
        elif lacking:
            fix = (
                f"the manifest has no {lacking[0]}: add what the diagnosis table says with "
                "tools/preprocess.py --manifest MANIFEST --diagnosis FILE --out DIR"
            )
        elif others:
            fix = f"set data.label_set={others[0]}, which has some"
        elif task == PATHOLOGY:
            fix = (
                "train malignancy alone with -o data.label_set=none, or preprocess again with "
                "--diagnosis FILE, a table that has some of these patients"
            )
        else:
            fix = "preprocess again with XML that rates these nodules"
        tasks = " and ".join(train.labels)
        raise ManifestError(
            config.data.manifest,
            expected=f"images with a label for {task}; a network is trained for {tasks}",
            found=f"none among {len(train)} training images",
            fix=fix,
        )


def training_step(state: TrainingState) -> StepResult:
    """Make one training step.

    Raises:
        NotFiniteError: the loss is no number; the state is that before the step.
        ProcessError: another process of the training has ended.
    """
    config, settings, processes = state.config, state.config.train, state.processes
    # Random numbers depend on seed, rank and step alone, so a resumed run draws the same.
    paddle.seed((processes.rank * RANK_STRIDE + config.seed) * SEED_STRIDE + state.step)
    random = np.random.default_rng([config.seed, state.step, AUGMENTATION])
    state.optimizer.learning_rate = learning_rate(settings, state.step)

    chosen = state.order.indices(state.step)
    batch = state.train.batch(chosen)
    images = augmented(batch.images, config.augment, random)
    counts = {t: int((labels != UNLABELLED).sum()) for t, labels in batch.labels.items()}
    mine = processes.part(len(images))
    labels = {task: values[mine] for task, values in batch.labels.items()}
    soft = {}
    if settings.soft_labels:
        shares = state.train.rating_shares[chosen][mine]
        soft[MALIGNANCY] = soft_targets(labels[MALIGNANCY], shares, settings.soft_labels)

    state.network.train()
    # Batch normalisation's, which the forward pass changes.
    statistics = [(p, p.numpy()) for p in state.network.parameters() if p.stop_gradient]
    mixed = settings.amp != "none"
    with paddle.amp.auto_cast(enable=mixed, dtype=settings.amp if mixed else "float16"):
        found = state.forward(paddle.to_tensor(images[mine]))
        # float32: the NumPy array of a bfloat16 tensor holds its bits.
        logits = {task: x.astype("float32") for task, x in found.items()}
        losses = task_losses(logits, labels, counts, soft)
    answers = {task: x.numpy().argmax(axis=1) for task, x in logits.items()}
    sums = [float(loss) for loss in losses.values()]
    sums += [float((answers[task] == labels[task]).sum()) for task in losses]
    sums = processes.sum(sums)
    of_batch, right = dict(zip(losses, sums)), dict(zip(losses, sums[len(losses) :]))
    l2 = l2_loss(state.network.decayed(), settings.weight_decay)
    total = sum(of_batch.values()) + l2
    # Before backward: a max-pool of NaN remembers no place, and its gradient would be
    # written to one outside the array.
    if not np.isfinite(total):
        for parameter, value in statistics:
            parameter.set_value(value)
        of_batch["L2"], wanted = l2, "a loss that is a number"
        raise NotFiniteError(state, state.step, wanted, str(total), of_batch)
    with processes.connected():
        # Gradients are averaged over processes; the losses' sum is the batch's.
        state.optimizer.backward(sum(losses.values()) * processes.count)
    state.optimizer.step()
    state.step += 1
    accuracies = {task: right[task] / counts[task] if counts[task] else None for task in losses}
    return StepResult(total, of_batch, accuracies, state.optimizer.learning_rate)


def task_losses(
    logits: Mapping[str, paddle.Tensor],
    labels: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
    soft: Mapping[str, np.ndarray] | None = None,
) -> dict[str, paddle.Tensor]:
    """Each task's cross-entropies, summed and divided by ``counts``; 0 without a label.

    Args:
        logits: {task: (n, classes)}.
        labels: {task: (n,) int64}, -1 for no label.
        counts: {task: labelled images} of the whole batch, of which these may be a part.
        soft: {task: (n, classes) distributions} that take the place of a task's labels; a row of
            zeros is no label.

    Returns:
        {task: scalar}; of a whole batch the mean over its labelled images.
    """
    losses = {}
    for task, x in logits.items():
        target = soft[task] if soft and task in soft else labels[task]
        loss = functional.cross_entropy(
            x,
            paddle.to_tensor(target),
            ignore_index=UNLABELLED,
            reduction="sum",
            soft_label=target.ndim > 1,
        )
        losses[task] = loss / max(counts[task], 1)
    return losses


def soft_targets(labels: np.ndarray, rating_shares: np.ndarray, part: float) -> np.ndarray:
    """(n, classes) float32: ``part`` the readers' ratings, the rest the label; 0 without a label.

    Args:
        labels: (n,) int64 classes, -1 for no label.
        rating_shares: (n, classes), as :func:`lungdx_paddle.data.labels.rating_shares` has them.
        part: from 0 to 1.
    """
    median = np.eye(rating_shares.shape[1], dtype=np.float32)[labels]
    mixed = (1.0 - part) * median + part * rating_shares
    return np.where(labels[:, np.newaxis] == UNLABELLED, 0.0, mixed).astype(np.float32)


def learning_rate(settings: TrainConfig, step: int) -> float:
    """The learning rate of a step, counted from 0; it depends on nothing else."""
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1.0 + math.cos(math.pi * step / settings.steps)) / 2.0
