"""Sharing units do what the paper's formula says, and the floor holds."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from lungdx_paddle.models.sharing import UNITS, SharingUnit

SHAPE = (3, 4, 4)


def features(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((5, *shape)).astype(np.float32)


def randomise(unit: SharingUnit, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for weight in unit.parameters():
        weight.set_value(random.standard_normal(weight.shape).astype(np.float32))


def test_the_dense_unit_is_the_papers_flatten_concatenate_multiply_split() -> None:
    """NumPy oracle: one square matrix over both towers' flattened features (PAPER, item 7)."""
    unit = UNITS["dense"](SHAPE, cross_floor=0.0)
    randomise(unit)
    a, b = features(1), features(2)
    own_a, own_b, cross_a, cross_b = (
        np.asarray(w.numpy(), np.float64)
        for w in (unit.own_a, unit.own_b, unit.cross_a, unit.cross_b)
    )
    matrix = np.block([[own_a, cross_b], [cross_a, own_b]])
    both = np.concatenate([a.reshape(5, -1), b.reshape(5, -1)], axis=1).astype(np.float64) @ matrix
    expected_a, expected_b = (half.reshape(5, *SHAPE) for half in np.split(both, 2, axis=1))
    mixed_a, mixed_b = unit(paddle.to_tensor(a), paddle.to_tensor(b))
    np.testing.assert_allclose(mixed_a.numpy(), expected_a, atol=1e-4)
    np.testing.assert_allclose(mixed_b.numpy(), expected_b, atol=1e-4)


def test_the_dense_unit_takes_its_share_also_where_its_weights_are_0() -> None:
    """Of each feature the same one: the matrices are those that ``weights`` shows."""
    unit = UNITS["dense"](SHAPE, cross_floor=0.2)
    unit.own_a.set_value(np.eye(48, dtype=np.float32))
    unit.cross_a.set_value(np.zeros((48, 48), np.float32))
    a, b = features(1), features(2)
    mixed, _ = unit(paddle.to_tensor(a), paddle.to_tensor(b))
    np.testing.assert_allclose(mixed.numpy(), a + 0.25 * b, rtol=1e-4, atol=1e-5)
    own, cross = (weight.numpy() for weight in unit.weights("a"))
    wanted = a.reshape(5, -1) @ own + b.reshape(5, -1) @ cross
    np.testing.assert_allclose(mixed.numpy().reshape(5, -1), wanted, atol=1e-5)


@pytest.mark.parametrize("shape", [SHAPE, (7,)])
def test_the_channel_unit_is_a_2x2_matrix_for_each_channel(shape: tuple[int, ...]) -> None:
    unit = UNITS["channel"](shape, cross_floor=0.0)
    randomise(unit)
    a, b = features(1, shape), features(2, shape)
    mixed_a, mixed_b = unit(paddle.to_tensor(a), paddle.to_tensor(b))
    for c in range(shape[0]):
        own_a, cross_a = unit.own_a.numpy().ravel()[c], unit.cross_a.numpy().ravel()[c]
        own_b, cross_b = unit.own_b.numpy().ravel()[c], unit.cross_b.numpy().ravel()[c]
        np.testing.assert_allclose(
            mixed_a.numpy()[:, c], own_a * a[:, c] + cross_a * b[:, c], atol=1e-5
        )
        np.testing.assert_allclose(
            mixed_b.numpy()[:, c], own_b * b[:, c] + cross_b * a[:, c], atol=1e-5
        )


@pytest.mark.parametrize("kind", sorted(UNITS))
def test_a_free_unit_starts_as_the_identity(kind: str) -> None:
    unit = UNITS[kind](SHAPE, cross_floor=0.0)
    a, b = features(1), features(2)
    mixed_a, mixed_b = unit(paddle.to_tensor(a), paddle.to_tensor(b))
    np.testing.assert_allclose(mixed_a.numpy(), a, atol=1e-6)
    np.testing.assert_allclose(mixed_b.numpy(), b, atol=1e-6)
    assert unit.shares() == (0.0, 0.0)


@pytest.mark.parametrize("kind", sorted(UNITS))
def test_a_unit_with_a_floor_starts_at_it(kind: str) -> None:
    unit = UNITS[kind](SHAPE, cross_floor=0.05)
    a, b = features(1), features(2)
    mixed_a, _ = unit(paddle.to_tensor(a), paddle.to_tensor(b))
    np.testing.assert_allclose(mixed_a.numpy(), 0.95 * a + 0.05 * b, atol=1e-5)
    assert unit.shares() == pytest.approx((0.05, 0.05), abs=1e-5)


@pytest.mark.parametrize("kind", sorted(UNITS))
@pytest.mark.parametrize("cross", [0.0, 1e-6, -0.01])
def test_a_task_cannot_stop_taking_from_the_other(kind: str, cross: float) -> None:
    """The output moves with the other tower by at least the floor, whatever is learned."""
    unit = UNITS[kind](SHAPE, cross_floor=0.1)
    for weight in (unit.cross_a, unit.cross_b):
        weight.set_value(weight.numpy() / 0.1 * cross)
    a, b = (paddle.to_tensor(features(seed)) for seed in (1, 2))
    zero = paddle.zeros_like(b)
    taken = unit(a, b)[0].numpy() - unit(a, zero)[0].numpy()
    least = 0.1 / 0.9 * 0.9  # share 0.1 beside own weights of 0.9
    np.testing.assert_allclose(np.abs(taken), least * np.abs(b.numpy()), rtol=1e-3, atol=1e-6)
    assert min(unit.shares()) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("kind", sorted(UNITS))
def test_training_against_the_floor_does_not_break_it(kind: str) -> None:
    unit = UNITS[kind](SHAPE, cross_floor=0.05)
    optimizer = paddle.optimizer.Adam(0.05, parameters=unit.parameters())
    a, b = (paddle.to_tensor(features(seed)) for seed in (1, 2))
    for _ in range(30):  # the loss wants a' = a and b' = b: single-task learning
        mixed_a, mixed_b = unit(a, b)
        ((mixed_a - a) ** 2 + (mixed_b - b) ** 2).mean().backward()
        optimizer.step()
        optimizer.clear_grad()
        assert min(unit.shares()) >= 0.05 - 1e-5
