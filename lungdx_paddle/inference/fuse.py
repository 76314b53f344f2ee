"""Fuse batch norm and the sharing floor into constants for inference."""

from __future__ import annotations

import paddle
from paddle import nn

from lungdx_paddle.models.ensemble import Trained
from lungdx_paddle.models.sharing import DenseUnit, SharingUnit


def fuse(network: Trained) -> Trained:
    """Fuse a network, or each of an ensemble, in place: the same outputs by fewer operations.

    * A sharing unit's cross weights are raised to the floor here and not at every call.
    * Batch normalisation becomes part of fc.  Of the convolutions Paddle folds it itself.
    * Dropout, which does nothing in inference, is left out.

    A test holds 1e-5 for every kind of network.  The folded one cannot be trained.
    """
    network.eval()
    for member in network.members:
        for stage, unit in member.units.items():
            member.units[stage] = FixedUnit(unit)
        for tower in member.towers.values():
            fc, bn = tower.fc, tower.bn3
            factor = bn.weight / paddle.sqrt(bn._variance + bn._epsilon)
            folded = nn.Linear(*fc.weight.shape)
            folded.weight.set_value(fc.weight * factor)
            folded.bias.set_value(bn.bias - bn._mean * factor)
            tower.fc, tower.bn3 = folded, nn.Identity()
        member.drop = nn.Identity()
    return network


class FixedUnit(nn.Layer):
    """A sharing unit that multiplies by constants.

    They have the axes of what they multiply: so every runtime that we know fuses the two
    products and the sum into one.

    Args:
        unit: a trained one.
    """

    def __init__(self, unit: SharingUnit) -> None:
        super().__init__()
        self.dense = isinstance(unit, DenseUnit)
        self.shape = [-1, *unit.shape]
        self.own_a, self.cross_a = map(self._constant, unit.weights("a"))
        self.own_b, self.cross_b = map(self._constant, unit.weights("b"))

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Combine (n, \\*shape) features of either tower."""
        return (
            self._times(a, self.own_a) + self._times(b, self.cross_a),
            self._times(b, self.own_b) + self._times(a, self.cross_b),
        )

    def _times(self, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        if self.dense:
            return paddle.matmul(x.flatten(1), weight).reshape(self.shape)
        return x * weight

    def _constant(self, weight: paddle.Tensor) -> paddle.Tensor:
        if not self.dense:
            channels, *pixels = self.shape[1:]
            weight = weight.flatten().expand([channels]).reshape([1, -1, *(1 for _ in pixels)])
        # A parameter: Paddle 2.6 leaves a buffer out of an exported program.
        constant = self.create_parameter(weight.shape)
        constant.set_value(weight)
        return constant
