"""Adam with an L2 loss, a part for each tower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import paddle

from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.settings import TrainConfig
from lungdx_paddle.training.losses import add_l2_gradient
from lungdx_paddle.training.parallel.threads import Threads, uninterrupted


@dataclass(frozen=True)
class _Part:
    adam: paddle.optimizer.Adam
    decayed: Sequence[paddle.Tensor]


class Optimizer:
    """Adam (arXiv 1412.6980) over all of a network's weights.

    Where threads share the work it is one Adam for each tower and one for the rest (sharing
    units, heads), which change the weights just as one for all does.

    Args:
        network: whose weights it changes.
        settings: learning rate, L2 factor, and whether gradients are of 16 bit.
        threads: that share the work.
    """

    def __init__(self, network: TwoTaskNetwork, settings: TrainConfig, threads: Threads) -> None:
        self._factor, self._threads = settings.weight_decay, threads
        apart = list(network.towers.values()) if threads.count > 1 else []
        known = {weight.name for tower in apart for weight in tower.parameters()}
        rest = [weight for weight in network.parameters() if weight.name not in known]
        others = [] if apart else network.decayed()
        self._parts = [
            _Part(paddle.optimizer.Adam(settings.learning_rate, parameters=weights), decayed)
            for weights, decayed in [
                *((tower.parameters(), tower.decayed()) for tower in apart),
                (rest, others),
            ]
        ]
        # Keeps half precision's small gradients from becoming 0; else it changes nothing.
        self._scaler = paddle.amp.GradScaler(enable=settings.amp == "float16")

    def backward(self, loss: paddle.Tensor) -> None:
        """Compute the gradients of a loss."""
        with uninterrupted():
            self._scaler.scale(loss).backward()

    def step(self) -> None:
        """Change the weights by their gradients and those of the L2 loss, and clear these."""
        self._threads.map(self._change, self._parts)
        self._scaler.update()

    def _change(self, part: _Part) -> None:
        self._scaler.unscale_(part.adam)
        add_l2_gradient(part.decayed, self._factor)
        self._scaler.step(part.adam)
        # Deleted, not set to 0, to which the next step's would have to be added.
        part.adam.clear_grad(set_to_zero=False)

    @property
    def learning_rate(self) -> float:
        """Of the next step."""
        return float(self._parts[0].adam.get_lr())

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for part in self._parts:
            part.adam.set_lr(value)

    def state_dict(self) -> dict[str, Any]:
        """The moments of all weights, under Paddle's names of the weights."""
        return {k: v for part in self._parts for k, v in part.adam.state_dict().items()}

    def set_state_dict(self, state: dict[str, Any]) -> None:
        """Take what :meth:`state_dict` gave."""
        for part in self._parts:
            part.adam.set_state_dict(dict(state))
