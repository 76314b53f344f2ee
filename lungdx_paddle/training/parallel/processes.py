"""One training in several processes, each with its part of every batch.

``python -m paddle.distributed.launch --nproc_per_node 2 tools/train.py`` starts them;
``paddle.DataParallel`` averages their gradients.  Losses are means over the labels of the whole
batch.  Batch statistics are the whole batch's on a GPU (``paddle.nn.SyncBatchNorm``) and each
process's own on the CPU, for which Paddle has no such layer; rank 0's running ones are saved.
Each process draws its own dropout.  So several processes do not train the network of one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import paddle

from lungdx_paddle.errors import ConfigError, LungdxError
from lungdx_paddle.locks import alone_in
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.runtime import process_of

T = TypeVar("T")


class ProcessError(LungdxError):
    """Another process of the same training has ended."""


@dataclass(frozen=True)
class Processes:
    """The processes of one training, seen from one of them; the default is a single process."""

    rank: int = 0
    """This process's number, from 0."""
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone logs, evaluates and saves."""
        return self.rank == 0

    def part(self, items: int) -> slice:
        """Which of a batch's items are this process's; parts differ by one at most."""
        ends = np.linspace(0, items, self.count + 1).astype(int)
        return slice(int(ends[self.rank]), int(ends[self.rank + 1]))

    def sum(self, values: Sequence[float]) -> list[float]:
        """Each value summed over all processes.

        Raises:
            ProcessError: another process has ended.
        """
        if self.count == 1:
            return list(values)
        total = paddle.to_tensor(list(values), dtype="float32")
        with self.connected():
            paddle.distributed.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def rank_zero_first(self, make: Callable[[], T]) -> T:
        """Call ``make`` in rank 0, and when it is done in the others."""
        if self.is_first:
            made = make()
        if self.count > 1:
            with self.connected():
                paddle.distributed.barrier()
        return made if self.is_first else make()

    def alone_in(self, folder: Path) -> AbstractContextManager[object]:
        """Keep other trainings out of a folder, as :func:`lungdx_paddle.locks.alone_in` does.

        Rank 0 holds the lock for all.
        """
        return alone_in(folder) if self.is_first else nullcontext()

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Turn the C++ error that Paddle raises when another process ended into ProcessError."""
        try:
            yield
        except RuntimeError as error:
            if self.count == 1:
                raise
            raise ProcessError(
                f"process {self.rank} of {self.count}",
                expected="an answer of every process of this training",
                found=" ".join(str(error).split())[-120:],
                fix="see why the other ended (log/workerlog.*), then go on with --resume",
            ) from error


def join() -> Processes:
    """Connect to the other processes of this training, if it was started as several.

    Call :func:`lungdx_paddle.runtime.set_up` first, which chooses the device: the processes
    exchange tensors by NCCL on a GPU and by gloo on the CPU.
    """
    rank, count = process_of()
    if count > 1 and not paddle.distributed.is_initialized():
        if paddle.device.get_device() == "cpu":  # a GPU build of Paddle would take NCCL
            os.environ.setdefault("PADDLE_DISTRI_BACKEND", "gloo")
        paddle.distributed.init_parallel_env()
    return Processes(rank, count)


def data_parallel(
    network: TwoTaskNetwork, processes: Processes, batch_size: int
) -> Callable[[paddle.Tensor], dict[str, paddle.Tensor]]:
    """The forward pass after which ``backward()`` averages gradients over all processes.

    Every process starts with the weights of rank 0.  On a GPU the network's batch normalisation
    is replaced, in place, by ``SyncBatchNorm`` of the same weights and names.  With one process
    it is the network itself.

    Args:
        network: to be trained.
        processes: that train it.
        batch_size: images of a step, of all processes.

    Raises:
        ConfigError: a process would have fewer than two images, which batch normalisation needs.
    """
    if processes.count == 1:
        return network
    if batch_size < 2 * processes.count:
        raise ConfigError(
            "data.batch_size",
            expected=f"two images or more for each of {processes.count} processes",
            found=f"{batch_size} images a step",
            fix="raise it, or start fewer processes",
        )
    if paddle.device.get_device() != "cpu":
        paddle.nn.SyncBatchNorm.convert_sync_batchnorm(network)
    with processes.connected():
        return paddle.DataParallel(network)
