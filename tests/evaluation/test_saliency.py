"""Saliency is what it says: known where it can be worked out, and its sum always is."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.nn import functional

from lungdx_paddle.evaluation.saliency import saliency
from lungdx_paddle.models.network import TwoTaskNetwork
from lungdx_paddle.settings import ModelConfig, SharingConfig

CLASSES = {"malignancy": 5, "pathology": 6}


class Linear(nn.Layer):
    """Each task: two classes, the second's logit a weighted sum of the pixels."""

    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.weights = {task: paddle.to_tensor(w.astype(np.float32)) for task, w in weights.items()}

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        sums = {t: (images[:, 0] * w).sum([1, 2]) for t, w in self.weights.items()}
        return {t: paddle.stack([paddle.zeros_like(s), s], axis=1) for t, s in sums.items()}


@pytest.fixture
def network() -> TwoTaskNetwork:
    paddle.seed(3)
    model = ModelConfig(conv1=4, conv2=6, fc=10)
    made = TwoTaskNetwork(model, SharingConfig(("pool1", "fc"), "channel", 0.05), CLASSES)
    seen = crops(40, seed=1)
    made.set_normalisation(seen.mean(axis=0), seen.std(axis=0))
    made.eval()
    return made


def crops(count: int, seed: int = 0) -> np.ndarray:
    """Bright squares on black."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 32, 32), np.uint8)
    images[:, 10:22, 8:24] = random.integers(40, 250, (count, 12, 16))
    return images


def log_probability(network: nn.Layer, image: np.ndarray, task: str, label: int) -> float:
    x = paddle.to_tensor(image.astype(np.float32)[np.newaxis, np.newaxis])
    with paddle.no_grad():
        return float(functional.log_softmax(network(x)[task])[0, label])


def test_of_a_linear_network_each_pixel_has_its_weight_times_its_value() -> None:
    random = np.random.default_rng(5)
    weights = {task: random.normal(0, 1e-4, (32, 32)) for task in CLASSES}
    linear, images = Linear(weights), crops(3)
    ones = {task: np.ones(3, np.int64) for task in CLASSES}
    maps = saliency(linear, images, ones)
    for task, w in weights.items():
        for image, found in zip(images, maps[task]):
            gain = log_probability(linear, image, task, 1) - np.log(0.5)
            wanted = image * w / (image * w).sum() * gain
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("task", CLASSES)
def test_one_step_is_the_finite_difference_half_way(network: TwoTaskNetwork, task: str) -> None:
    image = crops(1)[0].astype(float)
    labels = {t: np.array([2]) for t in CLASSES}
    found = saliency(network, image[np.newaxis], labels, steps=1)[task][0]
    agree = []
    for row, column in np.argwhere(image)[::11]:
        step = np.zeros((32, 32))
        step[row, column] = 0.25
        slope = log_probability(network, image / 2 + step, task, 2)
        slope -= log_probability(network, image / 2 - step, task, 2)
        wanted = image[row, column] * slope / 0.5
        agree.append(found[row, column] == pytest.approx(wanted, rel=0.03))
    # A maximum may change hands, or a ReLU open, between the two ends of a difference.
    assert len(agree) > 15 and np.mean(agree) > 0.8


def test_a_map_adds_up_to_the_gain_over_a_black_image(network: TwoTaskNetwork) -> None:
    images = crops(5)
    logits = network(paddle.to_tensor(images.astype(np.float32)[:, np.newaxis]))
    maps, predicted = saliency(network, images), {t: x.argmax(axis=1) for t, x in logits.items()}
    assert {task: m.shape for task, m in maps.items()} == {t: (5, 32, 32) for t in CLASSES}
    black = np.zeros((32, 32))
    for task in CLASSES:
        for image, label, found in zip(images, predicted[task].tolist(), maps[task]):
            gain = log_probability(network, image, task, label)
            gain -= log_probability(network, black, task, label)
            assert found.sum() == pytest.approx(gain, abs=0.01)
            assert abs(gain) > 0.02


def test_black_pixels_and_other_images_have_no_part(network: TwoTaskNetwork) -> None:
    images = crops(4)
    together, alone = saliency(network, images), saliency(network, images[2:3])
    for task in CLASSES:
        assert (together[task][images == 0] == 0).all()
        np.testing.assert_allclose(together[task][2], alone[task][0], atol=1e-5)


def test_the_network_is_left_as_it_was(network: TwoTaskNetwork) -> None:
    before = {name: value.numpy().copy() for name, value in network.state_dict().items()}
    network.train()
    saliency(network, crops(2), steps=2)
    assert network.training and all(p.grad is None for p in network.parameters())
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    network.eval()
    saliency(network, crops(2), steps=2)
    assert not network.training
