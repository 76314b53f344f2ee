"""One training in several processes, each with its part of every batch.

``python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py`` starts them.  They
hold the same weights and compute what one process would: losses are means over the labels of
the whole batch, batch normalisation takes the whole batch's statistics, dropout its part of
the whole batch's draw, and gradients are summed.  A test holds the losses to 1e-4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Sequence, Tuple, TypeVar

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
        y, mean, variance = _Normalise.apply(
            x, self.weight, self.bias, self.epsilon, self.processes
        )
        with paddle.no_grad():
            for running, now in ((self._mean, mean), (self._variance, variance)):
                running.set_value(self.momentum * running + (1.0 - self.momentum) * now)
        return y


class _Normalise(PyLayer):
    """y = weight * (x - mean) / sqrt(variance + epsilon) + bias, over all processes."""

    @staticmethod
    def forward(
        ctx: Any,
        x: paddle.Tensor,
        weight: paddle.Tensor,
        bias: paddle.Tensor,
        epsilon: float,
        processes: Processes,
    ) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        ctx.processes = processes
        ctx.shape = [1, -1, *(1 for _ in x.shape[2:])]
        ones = paddle.full([1], float(x.size // x.shape[1]))
        mean = _channel_sums(x)
        processes.add([mean, ones])
        ctx.items = ones.item()
        mean = mean / ctx.items
        centred = x - mean.reshape(ctx.shape)
        variance = _channel_sums(centred * centred)
        processes.add([variance])
        variance = variance / ctx.items
        factor = 1.0 / paddle.sqrt(variance + epsilon)
        normal = centred * factor.reshape(ctx.shape)
        ctx.save_for_backward(normal, weight * factor)
        y = normal * weight.reshape(ctx.shape) + bias.reshape(ctx.shape)
        return y, mean, variance

    @staticmethod
    def backward(
        ctx: Any, dy: paddle.Tensor, *_: paddle.Tensor
    ) -> Tuple[paddle.Tensor, paddle.Tensor, paddle.Tensor]:
        normal, slope = ctx.saved_tensor()
        d_bias, d_weight = _channel_sums(dy), _channel_sums(dy * normal)
        # The mean and the variance carry every process's gradient back to every image.
        of_all = paddle.stack([d_bias, d_weight]) / ctx.items
        ctx.processes.add([of_all])
        mean, along = (part.reshape(ctx.shape) for part in of_all)
        dx = slope.reshape(ctx.shape) * (dy - mean - normal * along)
        return dx, d_weight, d_bias


def _channel_sums(x: paddle.Tensor) -> paddle.Tensor:
    """(channels,) sums over images and pixels.

    Image by image first: over all axes at once Paddle adds 130 000 numbers one by one, which
    leaves float32 an error of 2e-5 instead of 6e-7.
    """
    return (x.flatten(2).sum(2) if x.ndim > 2 else x).sum(0)


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
