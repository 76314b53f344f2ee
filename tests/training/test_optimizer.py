"""The L2 loss that is logged is the one whose gradient Adam gets."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from lungdx_paddle.training.optimizer import add_l2_gradient, l2_loss


def test_the_l2_loss_is_half_the_factor_times_the_squares() -> None:
    weights = [paddle.to_tensor([[3.0, 4.0]]), paddle.to_tensor([2.0])]
    assert l2_loss(weights, 0.1) == pytest.approx(0.05 * (9 + 16 + 4))


def test_its_gradient_is_what_differentiating_it_gives() -> None:
    factor, gradients = 0.3, []
    for differentiate in (True, False):
        weight = paddle.create_parameter([2, 3], "float32")
        weight.set_value(np.arange(6, dtype=np.float32).reshape(2, 3))
        loss = (weight * weight * weight).sum()
        if differentiate:
            loss = loss + factor / 2 * (weight * weight).sum()
        loss.backward()
        if not differentiate:
            add_l2_gradient([weight], factor)
        gradients.append(weight.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-6)
