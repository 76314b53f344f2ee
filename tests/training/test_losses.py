"""A task's loss is taken over its labelled images; the L2 loss is what Adam is given."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from lungdx_paddle.training.losses import l2_loss, task_losses


def cross_entropy(logits: np.ndarray, label: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[label])


def test_unlabelled_images_do_not_count() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)
    losses = task_losses(
        {"malignancy": paddle.to_tensor(logits)},
        {"malignancy": paddle.to_tensor(np.array([1, -1, 3]))},
    )
    expected = (cross_entropy(logits[0], 1) + cross_entropy(logits[2], 3)) / 2
    assert float(losses["malignancy"]) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_a_label_costs_nothing_and_moves_nothing() -> None:
    logits = paddle.to_tensor(np.ones((2, 3), np.float32))
    logits.stop_gradient = False
    loss = task_losses({"pathology": logits}, {"pathology": paddle.to_tensor([-1, -1])})
    loss["pathology"].backward()
    assert float(loss["pathology"]) == 0.0
    assert not logits.grad.numpy().any()


def test_the_l2_loss_is_half_the_factor_times_the_squares() -> None:
    weights = [paddle.to_tensor([[3.0, 4.0]]), paddle.to_tensor([2.0])]
    assert l2_loss(weights, 0.1) == pytest.approx(0.05 * (9 + 16 + 4))


def test_adams_weight_decay_is_the_l2_losss_gradient() -> None:
    """One Adam step with weight_decay equals one with factor * w added to the gradient."""
    factor, start = 0.3, np.array([1.0, -2.0, 0.5], np.float32)
    moved = []
    for decay in (factor, None):
        weight = paddle.create_parameter([3], "float32")
        weight.set_value(start)
        group = {"params": [weight], **({"weight_decay": decay} if decay else {})}
        optimizer = paddle.optimizer.Adam(0.1, parameters=[group])
        for _ in range(3):
            loss = (weight * paddle.to_tensor([0.1, 0.2, -0.3])).sum()
            if decay is None:
                loss = loss + factor / 2 * (weight * weight).sum()
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
        moved.append(weight.numpy())
    np.testing.assert_allclose(moved[0], moved[1], atol=1e-6)
