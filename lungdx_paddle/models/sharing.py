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

import numpy as np
import paddle
from paddle import nn

_DIRECTION = 1e-12
"""Added to cross weights, so that one of exactly 0 has a direction to be raised in."""

_ROWS = 32
"""Of a dense unit's matrix that are squared at a time: a megabyte."""


class SharingUnit(nn.Layer):
    """Two towers' features in, two towers' features out.

    The paper says that its partial sharing "cannot be degenerated into single task
    learning".  With free weights that is false, so the **share** that an output takes from
    the other tower, ``|cross| / (|own| + |cross|)``, has a floor: a cross weight below it
    is raised to it.  With a floor of 0 the weights are free.  Both start as near to the
    identity as the floor lets them.

    The floor bounds weights, not signals: where the other tower's features are small, less
    than this share of an output's spread comes from it.

    Args:
        shape: of one image's features, (channels, rows, columns) or (features,).
        cross_floor: least share, from 0 up to 0.5.
    """

    def __init__(self, shape: tuple[int, ...], cross_floor: float) -> None:
        super().__init__()
        self.shape = shape
        self.cross_floor = cross_floor
        self.own_a, self.own_b = (self._identity(1.0 - cross_floor) for _ in "ab")
        self.cross_a, self.cross_b = (self._identity(cross_floor) for _ in "ab")

    def forward(self, a: paddle.Tensor, b: paddle.Tensor) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Combine (n, \\*shape) features of either tower."""
        return self.mix(a, b, "a"), self.mix(b, a, "b")

    def mix(self, own: paddle.Tensor, other: paddle.Tensor, tower: str) -> paddle.Tensor:
        """Combine one tower's features with the other's.

        Args:
            own: (n, \\*shape) features of ``tower``.
            other: (n, \\*shape) features of the other tower.
            tower: "a" or "b", whose weights are used.

        Returns:
            (n, \\*shape) features that ``tower`` continues with.
        """
        raise NotImplementedError

    def weights(self, tower: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """Own and cross weights of tower "a" or "b" in effect: the latter raised to the floor."""
        raise NotImplementedError

    def shares(self) -> tuple[float, float]:
        """Mean share, from 0 to 1, that the first and the second tower take."""
        share_a, share_b = self.output_shares()
        return float(share_a.mean()), float(share_b.mean())

    @paddle.no_grad()
    def output_shares(self) -> tuple[np.ndarray, np.ndarray]:
        """(outputs,) share of each output of the first and of the second tower.

        A scalar unit has one, a channel unit one a channel, a dense unit one a feature.
        """
        found = []
        for tower in "ab":
            own, cross = self._trained(tower)
            taken = self._norm(cross)
            if self.cross_floor:
                taken = taken.clip(min=_DIRECTION) * self._gain(own, cross)
            share = taken / (self._norm(own) + taken).clip(min=_DIRECTION)
            found.append(np.asarray(share.numpy()).ravel())
        return found[0], found[1]

    def _trained(self, tower: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        return getattr(self, f"own_{tower}"), getattr(self, f"cross_{tower}")

    def _gain(self, own: paddle.Tensor, cross: paddle.Tensor) -> paddle.Tensor:
        """Factor from 1 for each output that raises its share to the floor.

        It is a constant to the gradient, which moves the weights as if it were not there.
        """
        least = self.cross_floor / (1.0 - self.cross_floor) * self._norm(own)
        gain = (least / self._norm(cross).clip(min=_DIRECTION)).clip(min=1.0)
        # Detached here and not at the weights: a detached weight breaks Paddle 2.6's export.
        return gain.detach()

    def _identity(self, value: float) -> paddle.Tensor:
        """A new parameter of this kind: ``value`` times the identity."""
        raise NotImplementedError

    def _parameter(self, shape: list[int], value: float) -> paddle.Tensor:
        constant = nn.initializer.Constant(value)
        return self.create_parameter(shape, default_initializer=constant)

    def _norm(self, weight: paddle.Tensor) -> paddle.Tensor:
        """Size of the weights that make each output."""
        return weight.abs()


class ChannelUnit(SharingUnit):
    """A 2x2 matrix for each channel, or each feature of a flat layer."""

    def mix(self, own: paddle.Tensor, other: paddle.Tensor, tower: str) -> paddle.Tensor:
        """As :meth:`SharingUnit.mix`."""
        own_weight, cross = self.weights(tower)
        if own.ndim > 2:
            # Three axes: Paddle multiplies by a (channels, 1) weight ten times faster than
            # by a (channels, 1, 1) one.
            own, other = own.flatten(2), other.flatten(2)
        return (own * own_weight + other * cross).reshape([-1, *self.shape])

    def weights(self, tower: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """(channels, 1) or (features,) each."""
        own, cross = self._trained(tower)
        if self.cross_floor:
            cross = (cross + _DIRECTION) * self._gain(own, cross)
        return own, cross

    def _identity(self, value: float) -> paddle.Tensor:
        channels, *pixels = self.shape
        return self._parameter([channels, 1] if pixels else [channels], value)


class ScalarUnit(ChannelUnit):
    """One 2x2 matrix for all features."""

    def _identity(self, value: float) -> paddle.Tensor:
        return self._parameter([1], value)


class DenseUnit(SharingUnit):
    """The paper's: every output feature is a combination of all features of both towers.

    Four matrices of (features, features): 340 million weights at the paper's three sites,
    which want a GPU.
    """

    def mix(self, own: paddle.Tensor, other: paddle.Tensor, tower: str) -> paddle.Tensor:
        """As :meth:`SharingUnit.mix`."""
        own_weight, cross = self._trained(tower)
        own, other = own.flatten(1), other.flatten(1)
        taken = paddle.matmul(other, cross)
        if self.cross_floor:
            # The output is scaled, not the matrix: a copy of that would take a gigabyte.
            gain = self._gain(own_weight, cross)
            # The product first: in 16 bit the direction alone is 0.
            taken = taken * gain + other * (_DIRECTION * gain)
        return (paddle.matmul(own, own_weight) + taken).reshape([-1, *self.shape])

    def weights(self, tower: str) -> tuple[paddle.Tensor, paddle.Tensor]:
        """(features, features) each, from inputs to outputs."""
        own, cross = self._trained(tower)
        if self.cross_floor:
            cross = (cross + _DIRECTION * paddle.eye(len(cross))) * self._gain(own, cross)
        return own, cross

    def _identity(self, value: float) -> paddle.Tensor:
        features = math.prod(self.shape)
        weight = self._parameter([features, features], 0.0)
        # An initialiser that holds the identity makes Paddle run out of memory at 16384.
        weight.set_value(value * np.eye(features, dtype=np.float32))
        return weight

    def _norm(self, weight: paddle.Tensor) -> paddle.Tensor:
        # By products of a few rows, which stay in the cache: Paddle's sum over the first axis
        # takes twenty times as long, which was half of a training step.
        ones = paddle.ones([1, _ROWS])
        blocks = (weight[k : k + _ROWS] for k in range(0, len(weight), _ROWS))
        squares = [paddle.matmul(ones[:, : len(block)], block * block) for block in blocks]
        return paddle.add_n(squares).flatten().sqrt()


UNITS: dict[str, type[SharingUnit]] = {
    "dense": DenseUnit,
    "channel": ChannelUnit,
    "scalar": ScalarUnit,
}
"""Every kind by its name in ``sharing.unit``."""
