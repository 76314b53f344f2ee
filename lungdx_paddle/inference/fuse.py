"""A trained network, in which what no longer changes is computed once."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from lungdx_paddle.models.ensemble import Trained
from lungdx_paddle.models.sharing import DenseUnit, SharingUnit
from lungdx_paddle.models.tower import Tower


def fold(network: Trained) -> Trained:
    """Change a network, or each of an ensemble, in place: the same answers by fewer operations.

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
            _fold_normalisation(tower)
        member.drop = nn.Identity()
    return network


class FixedUnit(nn.Layer):
    """A sharing unit that multiplies by constants.

    They have the axes of what they multiply: so every runtime that we know fuses the two
    products and the sum into one.
    """

    def __init__(self, unit: SharingUnit) -> None:
        super().__init__()
        self.dense = isinstance(unit, DenseUnit)
        self.shape = [-1, *unit.shape]
        from_a, from_b = (half.split(2, axis=1) for half in unit.matrix().split(2))
        self.own_a, self.cross_a = self._constant(from_a[0]), self._constant(from_b[0])
        self.own_b, self.cross_b = self._constant(from_b[1]), self._constant(from_a[1])

    def mixed(self, tower: int, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """As :meth:`lungdx_paddle.models.sharing.SharingUnit.mixed`."""
        own, cross = ((self.own_a, self.cross_a), (self.own_b, self.cross_b))[tower]
        return self._times(features[tower], own) + self._times(features[1 - tower], cross)

    def _times(self, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        if self.dense:
            return paddle.matmul(x.flatten(1), weight).reshape(self.shape)
        return x * weight

    def _constant(self, block: paddle.Tensor) -> paddle.Tensor:
        if not self.dense:
            block = block.diag().reshape([1, -1, *(1 for _ in self.shape[2:])])
        # A parameter: Paddle 2.6 leaves a buffer out of an exported program.
        constant = self.create_parameter(block.shape)
        constant.set_value(block)
        return constant


def _fold_normalisation(tower: Tower) -> None:
    fc, bn = tower.fc, tower.bn3
    factor = bn.weight / paddle.sqrt(bn._variance + bn._epsilon)
    folded = nn.Linear(*fc.weight.shape)
    folded.weight.set_value(fc.weight * factor)
    folded.bias.set_value(bn.bias - bn._mean * factor)
    tower.fc, tower.bn3 = folded, nn.Identity()
