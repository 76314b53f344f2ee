"""One training on several cores: a thread for each of the network's towers.

Paddle's convolutions use one core.  Between two sharing sites the towers do not depend on
each other, so each has its own thread: in the forward pass, in the backward pass and when
its weights are changed.  Each tower computes as it would alone, so the numbers are those of
one thread to the last bit, which a test holds.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import paddle
from paddle.autograd import PyLayer

from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.runtime import chosen_threads
from lungdx_paddle.settings import STAGES
from lungdx_paddle.training.parallel.processes import Processes

T = TypeVar("T")
Block = Callable[[int, Sequence[paddle.Tensor]], paddle.Tensor]
"""(tower index, features of all towers) -> features of that tower after the block."""


class Threads:
    """Threads that share a training's work.

    Args:
        count: how many; 1 is the caller's own.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def map(self, function: Callable[..., T], *items: Iterable[Any]) -> list[T]:
        """``function`` of each item, or of each tuple of them."""
        return list((self._pool.map if self._pool else map)(function, *items))


def share_towers(network: TwoTaskNetwork, processes: Processes, compiled: bool) -> Threads:
    """Run a network's towers in threads from now on, in place, where this is faster.

    It is not with one tower, with one core, on a GPU, in several processes, which use the cores
    already, or in a compiled network, which is one program.

    In a backward pass the towers' weights are given their gradients directly, so call
    ``backward()`` on such a network's results and not ``paddle.grad``.

    Args:
        network: to be trained.
        processes: that train it.
        compiled: whether it is compiled (``train.to_static``).
    """
    cores, towers = chosen_threads(), len(network.towers)
    alone = processes.count == 1 and not compiled and paddle.device.get_device() == "cpu"
    if not alone or towers < 2 or cores < towers:
        return Threads()
    paddle.framework.core.set_num_threads(cores // towers)  # of each tower's matrix products
    threads = Threads(towers)
    network.run_towers = partial(_run_towers, network, threads)  # type: ignore[method-assign]
    return threads


def _run_towers(
    network: TwoTaskNetwork, threads: Threads, features: Sequence[paddle.Tensor]
) -> Sequence[paddle.Tensor]:
    """:meth:`TwoTaskNetwork.run_towers` with a thread a tower from one sharing site to the next."""
    towers, gradients = list(network.towers.values()), paddle.is_grad_enabled()
    # Paddle calls no backward whose inputs are all constants, as the first images are.
    anchor = paddle.zeros([1])
    anchor.stop_gradient = False

    def block(site: str, stages: Sequence[str], k: int, before: Sequence[Any]) -> paddle.Tensor:
        with paddle.set_grad_enabled(gradients):  # each thread has its own mode
            x = network.units[site].mix(before[k], before[1 - k], "ab"[k]) if site else before[k]
            for stage in stages:
                x = towers[k].run(stage, x)
            return x

    ends = [i + 1 for i, stage in enumerate(STAGES) if stage in network.units]
    for start, end in zip([0, *ends], [*ends, len(STAGES)]):
        site = STAGES[start - 1] if start else ""
        run = partial(block, site, STAGES[start:end])
        features = _ThreadedBlock.apply(anchor, threads, run, *features)
    return features


class _ThreadedBlock(PyLayer):
    """A block in threads, each with its own graph; to Paddle all are one operation."""

    @staticmethod
    def forward(
        ctx: Any, anchor: paddle.Tensor, threads: Threads, block: Block, *features: paddle.Tensor
    ) -> tuple[paddle.Tensor, ...]:
        def run(tower: int) -> tuple[list[paddle.Tensor], paddle.Tensor]:
            leaves = [x.detach() for x in features]  # of this thread's graph
            for leaf, x in zip(leaves, features):
                leaf.stop_gradient = x.stop_gradient
            return leaves, block(tower, leaves)

        ctx.threads, ctx.graphs = threads, threads.map(run, range(len(features)))
        return tuple(result.detach() for _, result in ctx.graphs)

    @staticmethod
    def backward(ctx: Any, *gradients: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        def run(graph: tuple[list[paddle.Tensor], paddle.Tensor], gradient: Any) -> list[Any]:
            leaves, result = graph
            result.backward(gradient)
            return [leaf.grad for leaf in leaves]

        by_thread = ctx.threads.map(run, ctx.graphs, gradients)
        ctx.graphs = None  # frees their memory before the next block's backward
        present = ([g for g in column if g is not None] for column in zip(*by_thread))
        return (None, *(sum(found[1:], found[0]) if found else None for found in present))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the end of a backward pass.

    Otherwise it could be raised inside :class:`_ThreadedBlock`, whose caller is Paddle's C++,
    which would turn it into another error.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Ctrl-C is the main thread's
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        # None: it was not set from Python.
        signal.signal(signal.SIGINT, signal.default_int_handler if before is None else before)
    if came:
        signal.raise_signal(signal.SIGINT)
