"""One training in several processes, each with its part of every batch.

``python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py`` starts them.  They
hold the same weights and compute what one process would: losses are means over the labels of
the whole batch, batch normalisation takes the whole batch's statistics, dropout its part of
the whole batch's draw, and gradients are summed.  A test holds the losses to 1e-4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import paddle
from paddle import nn
from paddle.autograd import PyLayer
from paddle.nn import functional

from lungdx_paddle.errors import ConfigError, LungdxError
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.runtime import process_of

T = TypeVar("T")


class ProcessError(LungdxError):
    """Another process of the same training has ended."""


@dataclass(frozen=True)
class Processes:
    """Where this process stands among those of one training; alone, it is the first of one."""

    rank: int = 0
    """From 0."""
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that speaks, judges and writes."""
        return self.rank == 0

    def part(self, items: int) -> slice:
        """Which of a batch's items are this process's; parts differ by one at most."""
        ends = np.linspace(0, items, self.count + 1).astype(int)
        return slice(int(ends[self.rank]), int(ends[self.rank + 1]))

    def add(self, tensors: Sequence[paddle.Tensor]) -> None:
        """Put into each tensor, in place, its sum over all processes.

        Raises:
            ProcessError: another process has gone.
        """
        if self.count > 1:
            for tensor in tensors:
                self._together(paddle.distributed.all_reduce, tensor)

    def one_first(self, make: Callable[[], T]) -> T:
        """Call ``make`` in the first process, and when it is done in the others."""
        if self.count > 1 and not self.is_first:
            self._together(paddle.distributed.barrier)
        made = make()
        if self.count > 1 and self.is_first:
            self._together(paddle.distributed.barrier)
        return made

    def _together(self, call: Callable[..., Any], *arguments: Any) -> None:
        try:
            call(*arguments)
        except RuntimeError as error:
            raise ProcessError(
                f"process {self.rank} of {self.count}",
                expected="an answer of every process of this training",
                found=" ".join(str(error).split())[-120:],
                fix="see why the other ended (log/workerlog.*), then go on with --resume",
            ) from error


def join() -> Processes:
    """Meet the other processes of this training, if it was started as several."""
    rank, count = process_of()
    if count > 1 and not paddle.distributed.is_initialized():
        paddle.distributed.init_parallel_env()
    return Processes(rank, count)


def share_batches(network: TwoTaskNetwork, processes: Processes, batch_size: int) -> None:
    """Make a network, in place, normalise and drop as if it saw the whole batch.

    Its weights, buffers and their names stay the same.  With one process nothing changes.

    Args:
        network: to be trained.
        processes: that train it.
        batch_size: images of a step, of all processes.

    Raises:
        ConfigError: there are more processes than images.
    """
    if processes.count == 1:
        return
    if batch_size < processes.count:
        raise ConfigError(
            "data.batch_size",
            expected=f"an image or more for each of {processes.count} processes",
            found=f"{batch_size} images a step",
            fix="raise it, or start fewer processes",
        )
    for tower in network.towers.values():
        for name, layer in list(tower.named_children()):
            if isinstance(layer, nn.layer.norm._BatchNormBase):
                setattr(tower, name, JointNorm(layer, processes))
    network.drop = JointDropout(network.drop.p, processes, batch_size)


class JointNorm(nn.Layer):
    """Batch normalisation (arXiv 1502.03167) with the mean and variance of the whole batch.

    Paddle's own ``SyncBatchNorm`` wants a GPU.

    Args:
        norm: whose weights and running statistics are used and changed.
        processes: that hold the batch.
    """

    def __init__(self, norm: nn.Layer, processes: Processes) -> None:
        super().__init__()
        self.weight, self.bias = norm.weight, norm.bias
        self._mean, self._variance = norm._mean, norm._variance
        self.momentum, self.epsilon = norm._momentum, norm._epsilon
        self.processes = processes

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Normalise (n, channels) or (n, channels, rows, columns), this process's images."""
        if not self.training:
            own = (self._mean, self._variance, self.weight, self.bias)
            return functional.batch_norm(x, *own, training=False, epsilon=self.epsilon)
        mean, variance = _Statistics.apply(x, self.processes)
        scale = self.weight / paddle.sqrt(variance + self.epsilon)
        y = _scaled(x, scale, self.bias - mean * scale)
        with paddle.no_grad():
            for running, now in ((self._mean, mean), (self._variance, variance)):
                running.set_value(self.momentum * running + (1.0 - self.momentum) * now)
        return y


class _Statistics(PyLayer):
    """(channels,) mean and variance of all processes' images and pixels."""

    @staticmethod
    def forward(
        ctx: Any, x: paddle.Tensor, processes: Processes
    ) -> tuple[paddle.Tensor, paddle.Tensor]:
        own_mean, own_variance = paddle.zeros([x.shape[1]]), paddle.ones([x.shape[1]])
        # For its statistics, in one pass: Paddle's sums over three axes take ten times as long.
        functional.batch_norm(x, own_mean, own_variance, training=True, momentum=0.0)
        items = paddle.full_like(own_mean, float(x.size // x.shape[1]))
        sums = paddle.stack([items, items * own_mean, items * (own_variance + own_mean**2)])
        processes.add([sums])
        mean, square = sums[1] / sums[0], sums[2] / sums[0]
        ctx.items, ctx.processes = sums[0], processes
        ctx.save_for_backward(x, mean)
        return mean, square - mean**2

    @staticmethod
    def backward(
        ctx: Any, d_mean: paddle.Tensor, d_variance: paddle.Tensor
    ) -> tuple[paddle.Tensor, ...]:
        x, mean = ctx.saved_tensor()
        # Every process's output depends on them, and they on every process's images.
        of_all = paddle.stack([d_mean, 2.0 * d_variance]) / ctx.items
        ctx.processes.add([of_all])
        return _scaled(x, of_all[1], of_all[0] - of_all[1] * mean)


def _scaled(x: paddle.Tensor, scale: paddle.Tensor, shift: paddle.Tensor) -> paddle.Tensor:
    """X * scale + shift, channel by channel, in the one pass of batch normalisation."""
    none = paddle.zeros_like(shift), paddle.ones_like(shift)
    return functional.batch_norm(x, *none, scale, shift, training=False, epsilon=1e-12)


class JointDropout(nn.Layer):
    """What this process keeps of what dropout would draw for the whole batch.

    Args:
        p: part that is dropped.
        processes: that hold the batch.
        batch_size: images of a step, of all processes.
    """

    def __init__(self, p: float, processes: Processes, batch_size: int) -> None:
        super().__init__()
        self.p, self.batch_size = p, batch_size
        self.mine = processes.part(batch_size)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, features), this process's images."""
        if not self.training:
            return x
        kept = functional.dropout(paddle.ones([self.batch_size, x.shape[1]]), self.p)
        return x * kept[self.mine]
