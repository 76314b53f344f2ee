"""A task's loss is taken over its labelled images; the L2 loss is what Adam is given."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from lungdx_paddle.training.losses import add_l2_gradient, l2_loss, task_losses


def cross_entropy(logits: np.ndarray, label: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[label])


def test_unlabelled_images_do_not_count() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    losses = task_losses(
        {"malignancy": paddle.to_tensor(logits)},
        {"malignancy": np.array([1, -1, 3])},
        {"malignancy": 2},
    )
    expected = (cross_entropy(logits[0], 1) + cross_entropy(logits[2], 3)) / 2
    assert float(losses["malignancy"]) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_a_label_costs_nothing_and_moves_nothing() -> None:
    logits = paddle.to_tensor(np.ones((2, 3), np.float32))
    logits.stop_gradient = False
    loss = task_losses({"pathology": logits}, {"pathology": np.array([-1, -1])}, {"pathology": 0})
    loss["pathology"].backward()
    assert float(loss["pathology"]) == 0.0
    assert not logits.grad.numpy().any()


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
