"""Sharing units: what each of two towers takes from the other at one site.

A unit combines the towers' features a and b linearly (the paper, and the cross-stitch
unit of Misra et al. 2016, arXiv 1604.03539)::

    a' = own_a * a + cross_a * b
    b' = own_b * b + cross_b * a

The kinds differ in what ``*`` is: one number, one number a channel, or a matrix over all
flattened features.  The last is the paper's "concatenate, flatten, multiply by one square
matrix", whose four blocks are the own and cross weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import paddle
from paddle import nn

_DIRECTION = 1e-12
"""Added to cross weights, so that one of exactly 0 has a direction to be raised in."""


class SharingUnit(nn.Layer):
    """Two towers' features in, two towers' features out.

    The paper says that its partial sharing "cannot be degenerated into single task
    learning".  With free weights that is false, so the **share** that an output takes from
    the other tower, ``|cross| / (|own| + |cross|)``, has a floor: a cross weight below it
    is raised to it.  With a floor of 0 the weights are free.  Both start as near to the
    identity as the floor lets them.

    Args:
        shape: of one image's features, (channels, rows, columns) or (features,).
        cross_floor: least share, from 0 up to 0.5.
    """

    def __init__(self, shape: tuple[int, ...], cross_floor: float) -> None:
        super().__init__()
        self.shape = shape
        self.cross_floor = cross_floor
        self.own_a, self.own_b = (self._weight(1.0 - cross_floor) for _ in "ab")
        self.cross_a, self.cross_b = (self._weight(cross_floor) for _ in "ab")

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Combine (n, \\*shape) features of either tower."""
        return self.mixed(0, (a, b)), self.mixed(1, (a, b))

    def mixed(self, tower: int, features: Sequence[paddle.Tensor]) -> paddle.Tensor:
        """What one tower goes on with: (n, \\*shape), as are both towers' ``features``.

        Args:
            tower: 0 for a', 1 for b'.
            features: a and b.
        """
        own, other = (self._flatten(features[k]) for k in (tower, 1 - tower))
        return self._combine(own, other, "ab"[tower]).reshape([-1, *self.shape])

    @paddle.no_grad()
    def matrix(self) -> paddle.Tensor:
        """The unit as one square matrix M: [a', b'] = [a, b] M.

        a and b are the channels at one place or, of a dense unit, all flattened features.
        """
        width = self._width()
        inputs = paddle.eye(2 * width).reshape([-1, 2 * width, *(1 for _ in self.shape[1:])])
        a, b = (self._flatten(half) for half in paddle.split(inputs, 2, axis=1))
        mixed = [self._combine(a, b, "a"), self._combine(b, a, "b")]
        return paddle.concat(mixed, axis=1).reshape([2 * width, 2 * width])

    def _combine(self, own: paddle.Tensor, other: paddle.Tensor, tower: str) -> paddle.Tensor:
        return self._multiply(own, self._weights(tower)[0]) + self._take(other, tower)

    def shares(self) -> tuple[float, float]:
        """Mean share, from 0 to 1, that the first and the second tower take."""
        share_a, share_b = self.output_shares()
        return float(share_a.mean()), float(share_b.mean())

    def output_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(outputs,) share of each output of the first and of the second tower.

        A scalar unit has one, a channel unit one a channel, a dense unit one a feature.
        """
        return self._output_shares("a"), self._output_shares("b")

    def _take(self, other: paddle.Tensor, tower: str) -> paddle.Tensor:
        own, cross = self._weights(tower)
        if self.cross_floor == 0.0:
            return self._multiply(other, cross)
        return self._multiply_raised(other, cross, self._gain(own, cross))

    def _gain(self, own: paddle.Tensor, cross: paddle.Tensor) -> paddle.Tensor:
        """Factor from 1 for each output that raises its share to the floor.

        It is a constant to the gradient, which moves the weights as if it were not there.
        """
        least = self.cross_floor / (1.0 - self.cross_floor) * self._norm(own)
        gain = (least / self._norm(cross).clip(min=_DIRECTION)).clip(min=1.0)
        # Detached here and not at the weights: a detached weight breaks Paddle 2.6's export.
        return gain.detach()

    def _output_shares(self, tower: str) -> np.ndarray:
        with paddle.no_grad():
            own, cross = self._weights(tower)
            taken = self._norm(cross).clip(min=_DIRECTION if self.cross_floor else 0.0)
            if self.cross_floor:
                taken = taken * self._gain(own, cross)
            share = taken / (self._norm(own) + taken).clip(min=_DIRECTION)
            return np.asarray(share.numpy()).ravel()

    def _weights(self, tower: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        return getattr(self, f"own_{tower}"), getattr(self, f"cross_{tower}")

    def _weight(self, value: float) -> paddle.Tensor:
        """A new parameter of this kind: ``value`` times the identity."""
        raise NotImplementedError

    def _flatten(self, x: paddle.Tensor) -> paddle.Tensor:
        """(n, \\*shape) features in the form that the weights multiply."""
        return x.flatten(1)

    def _width(self) -> int:
        """How many of one tower's features the weights tell apart."""
        return self.shape[0]

    def _multiply(self, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        return x * weight

    def _multiply_raised(
        self, x: paddle.Tensor, cross: paddle.Tensor, gain: paddle.Tensor
    ) -> paddle.Tensor:
        return x * ((cross + _DIRECTION) * gain)

    def _norm(self, weight: paddle.Tensor) -> paddle.Tensor:
        """Size of the weights that make each output."""
        return weight.abs()


class ScalarUnit(SharingUnit):
    """One 2x2 matrix for all features."""

    def _weight(self, value: float) -> paddle.Tensor:
        return _parameter(self, [1], value)


class ChannelUnit(SharingUnit):
    """A 2x2 matrix for each channel, or each feature of a flat layer."""

    def _weight(self, value: float) -> paddle.Tensor:
        channels, *pixels = self.shape
        return _parameter(self, [channels, 1] if pixels else [channels], value)

    def _flatten(self, x: paddle.Tensor) -> paddle.Tensor:
        # Three axes: Paddle multiplies by a (channels, 1) weight ten times faster than by
        # a (channels, 1, 1) one.
        return x.flatten(2) if x.ndim > 2 else x


class DenseUnit(SharingUnit):
    """The paper's: every output feature is a combination of all features of both towers.

    Four matrices of (features, features): 340 million weights at the paper's three sites,
    which want a GPU.
    """

    def _weight(self, value: float) -> paddle.Tensor:
        features = math.prod(self.shape)
        weight = _parameter(self, [features, features], 0.0)
        # An initialiser that holds the identity makes Paddle run out of memory at 16384.
        weight.set_value(value * np.eye(features, dtype=np.float32))
        return weight

    def _width(self) -> int:
        return math.prod(self.shape)

    def _multiply(self, x: paddle.Tensor, weight: paddle.Tensor) -> paddle.Tensor:
        return paddle.matmul(x, weight)

    def _multiply_raised(
        self, x: paddle.Tensor, cross: paddle.Tensor, gain: paddle.Tensor
    ) -> paddle.Tensor:
        # The output is scaled, not the matrix: a copy of that would take a gigabyte.
        return (paddle.matmul(x, cross) + _DIRECTION * x) * gain

    def _norm(self, weight: paddle.Tensor) -> paddle.Tensor:
        return (weight * weight).sum(axis=0).sqrt()


UNITS: dict[str, type[SharingUnit]] = {
    "dense": DenseUnit,
    "channel": ChannelUnit,
    "scalar": ScalarUnit,
}
"""Every kind by its name in ``sharing.unit``."""


def _parameter(layer: nn.Layer, shape: list[int], value: float) -> paddle.Tensor:
    return layer.create_parameter(shape, default_initializer=nn.initializer.Constant(value))
