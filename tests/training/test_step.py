"""A step's losses are means over labelled images; its result says what happened on its batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import paddle
import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.training.parallel.processes import Processes
from lungdx_paddle.training.step import (
    TrainingError,
    TrainingState,
    soft_targets,
    task_losses,
    training_step,
)

Make = Callable[..., TrainingState]


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


def test_soft_targets_are_between_the_median_and_the_readers_ratings() -> None:
    shares = np.array([[0, 0, 0, 0.25, 0.75], [0.5, 0.5, 0, 0, 0], [0, 0, 0, 0, 1]], np.float32)
    labels = np.array([4, 1, -1])
    target = soft_targets(labels, shares, 0.5)
    assert target.tolist() == [[0, 0, 0, 0.125, 0.875], [0.25, 0.75, 0, 0, 0], [0] * 5]
    logits = np.random.default_rng(0).standard_normal((3, 5)).astype(np.float32)
    counts = {"malignancy": 2}
    own = {"malignancy": paddle.to_tensor(logits)}
    loss = task_losses(own, {"malignancy": labels}, counts, {"malignancy": target})["malignancy"]
    expected = [target[i, k] * cross_entropy(logits[i], k) for i in range(2) for k in range(5)]
    assert float(loss) == pytest.approx(sum(expected) / 2, rel=1e-5)
    hard = {"malignancy": soft_targets(labels, shares, 0.0)}
    same = [task_losses(own, {"malignancy": labels}, counts, soft) for soft in (None, hard)]
    assert float(same[0]["malignancy"]) == pytest.approx(float(same[1]["malignancy"]), rel=1e-6)


def test_soft_labels_change_the_loss_of_malignancy_alone(make_state: Make) -> None:
    results = []
    for part in (0, 0.5):
        paddle.seed(0)  # the same initial weights
        state = make_state("run", f"train.soft_labels={part}")
        state.train.rating_shares = np.full((len(state.train), 5), 0.2, np.float32)
        results.append(training_step(state))
    assert results[0].losses["pathology"] == results[1].losses["pathology"]
    assert results[0].losses["malignancy"] != results[1].losses["malignancy"]


def test_a_step_returns_the_loss_and_accuracy_of_its_batch(make_state: Make) -> None:
    state = make_state("run", "model.dropout=0.0")
    batch = state.train.batch(state.order.indices(0))
    state.network.train()
    logits = {task: x.numpy() for task, x in state.network(paddle.to_tensor(batch.images)).items()}
    result = training_step(state)
    assert state.step == 1
    for task, labels in batch.labels.items():
        rows = np.flatnonzero(labels >= 0)
        losses = [cross_entropy(logits[task][i], labels[i]) for i in rows]
        assert result.losses[task] == pytest.approx(np.mean(losses), rel=1e-4)
        right = logits[task][rows].argmax(axis=1) == labels[rows]
        assert result.accuracies[task] == pytest.approx(right.mean())
    assert result.loss > sum(result.losses.values())  # the L2 loss is in it
    assert result.learning_rate == pytest.approx(state.config.train.learning_rate)


def test_a_task_without_a_label_in_the_batch_has_no_accuracy(make_state: Make) -> None:
    state = make_state("run")
    state.train.labels["pathology"][:] = -1
    result = training_step(state)
    assert result.accuracies["pathology"] is None and result.losses["pathology"] == 0.0


def test_accuracy_is_right_where_logits_are_bfloat16(make_state: Make) -> None:
    """The NumPy array of a bfloat16 tensor holds its bits, in which negative is largest."""
    state = make_state("run", "model.dropout=0.0")
    network = state.network

    def forward(images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        return {task: x.astype("bfloat16") for task, x in network(images).items()}

    batch = state.train.batch(state.order.indices(0))
    state.network.train()
    logits = network(paddle.to_tensor(batch.images))["malignancy"].astype("bfloat16")
    answers = logits.astype("float32").numpy().argmax(axis=1)
    expected = (answers == batch.labels["malignancy"]).mean()
    state = replace(state, forward=forward)
    assert training_step(state).accuracies["malignancy"] == pytest.approx(expected)


def test_a_loss_that_is_not_finite_leaves_the_state(make_state: Make) -> None:
    state = make_state("run")
    state.network.heads["pathology"].bias.set_value(np.full(6, np.nan, np.float32))
    before = {name: value.numpy() for name, value in state.network.named_parameters()}
    with pytest.raises(TrainingError, match="step 0: expected a loss that is a number, found nan"):
        training_step(state)
    for name, value in state.network.named_parameters():
        np.testing.assert_array_equal(value.numpy(), before[name])


def test_half_precision_wants_a_gpu(make_state: Make) -> None:
    with pytest.raises(ConfigError, match="expected a GPU.*set train.amp=none"):
        make_state("run", "train.amp=bfloat16")


def test_bfloat16_wants_a_gpu_that_has_it(make_state: Make) -> None:
    with (
        patch("paddle.device.get_device", return_value="gpu:0"),
        patch("paddle.amp.is_bfloat16_supported", return_value=False),
        patch("paddle.device.cuda.get_device_name", return_value="Tesla V100"),
        pytest.raises(ConfigError, match="bfloat16.*found Tesla V100; set train.amp=float16"),
    ):
        make_state("run", "train.amp=bfloat16")


def test_the_processes_of_a_training_draw_other_dropout(make_state: Make) -> None:
    """One process draws as ever, the others each their own; all from seed and step alone."""
    seeds = []
    for rank in (0, 1):
        state = make_state(f"run{rank}", "seed=3")
        state.processes = Processes(rank, 2)
        alone = patch.object(Processes, "sum", lambda self, values: list(values))
        with alone, patch("paddle.seed", seeds.append):
            training_step(state)
    assert seeds == [3 * 1_000_003, (2**32 + 3) * 1_000_003]
