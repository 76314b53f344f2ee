"""One training on several cores: a thread for each of the network's towers.

Paddle's convolutions use one core.  Between two sharing sites the towers have nothing to do
with each other, so each goes on in a thread of its own: in the forward pass, in the backward
pass and when its weights are changed.  Each tower computes as it would alone, so the numbers
are those of one thread to the last bit, which a test holds.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import paddle
from paddle.autograd import PyLayer

from lungdx_paddle.models.network import Stretch, TwoTaskNetwork
from lungdx_paddle.runtime import chosen_threads, use_threads
from lungdx_paddle.training.parallel.processes import Processes

T = TypeVar("T")


class Threads:
    """Threads that share a training's work.

    Args:
        count: how many; 1 is the caller's own.
    """

    def __init__(self, count: int = 1) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None
        # Paddle calls no backward whose inputs are all constants, as the first images are.
        self._anchor = paddle.zeros([1])
        self._anchor.stop_gradient = False

    def map(self, function: Callable[..., T], *items: Iterable[Any]) -> list[T]:
        """``function`` of each item, or of each tuple of them."""
        return list((self._pool.map if self._pool else map)(function, *items))

    def each(self, stretch: Stretch, states: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
        """Where every tower is after a stretch, for :attr:`TwoTaskNetwork.each`.

        In the backward pass the towers' weights are given their gradients directly, so it is
        for ``backward()`` and not for ``paddle.grad``.
        """
        if paddle.is_grad_enabled():
            return list(_Apart.apply(self._anchor, self, stretch, *states))
        return self.map(lambda tower: _without_gradient(stretch, tower, states), range(len(states)))


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of a backward pass.

    Otherwise it could be raised inside :class:`_Apart`, whose caller is Paddle's C++, and that
    makes another error of it.
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


def share_towers(network: TwoTaskNetwork, processes: Processes, compiled: bool) -> Threads:
    """Let a network's towers be computed in threads, in place, where this is of use.

    It is not with one tower, with one core, on a GPU, in several processes, which use the cores
    already, or in a compiled network, which is one program.

    Args:
        network: to be trained.
        processes: that train it.
        compiled: whether it is compiled (``train.to_static``).
    """
    cores, towers = chosen_threads(), len(network.towers)
    alone = processes.count == 1 and not compiled and paddle.device.get_device() == "cpu"
    if not alone or towers < 2 or cores < towers:
        return Threads()
    use_threads(cores // towers)  # of each tower's matrix products
    threads = Threads(towers)
    network.each = threads.each
    return threads


class _Apart(PyLayer):
    """A stretch in threads; each has a graph of its own, which backward goes through in one."""

    @staticmethod
    def forward(
        ctx: Any, anchor: paddle.Tensor, threads: Threads, stretch: Stretch, *states: paddle.Tensor
    ) -> tuple[paddle.Tensor, ...]:
        def run(tower: int) -> tuple[list[paddle.Tensor], paddle.Tensor]:
            own = [_cut(state) for state in states]
            with paddle.enable_grad():
                return own, stretch(tower, own)

        ctx.threads, ctx.graphs = threads, threads.map(run, range(len(states)))
        return tuple(made.detach() for _, made in ctx.graphs)

    @staticmethod
    def backward(ctx: Any, *gradients: paddle.Tensor) -> tuple[paddle.Tensor | None, ...]:
        def run(graph: tuple[list[paddle.Tensor], paddle.Tensor], gradient: Any) -> list[Any]:
            own, made = graph
            made.backward(gradient)
            return [state.grad for state in own]

        found = ctx.threads.map(run, ctx.graphs, gradients)
        ctx.graphs = None  # their memory is of use elsewhere
        return (None, *map(_sum, zip(*found)))


def _cut(state: paddle.Tensor) -> paddle.Tensor:
    """The same values as the beginning of another graph."""
    cut = state.detach()
    cut.stop_gradient = state.stop_gradient
    return cut


def _sum(gradients: Iterable[paddle.Tensor | None]) -> paddle.Tensor | None:
    there = [gradient for gradient in gradients if gradient is not None]
    return sum(there[1:], there[0]) if there else None


def _without_gradient(
    stretch: Stretch, tower: int, states: Sequence[paddle.Tensor]
) -> paddle.Tensor:
    with paddle.no_grad():  # each thread has its own mode
        return stretch(tower, states)
