"""The folded network is the trained one, whatever it shares and however."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import paddle
import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.inference.export import Probabilities
from lungdx_paddle.models.ensemble import Ensemble, Trained
from lungdx_paddle.models.network import TwoTaskNetwork, build_network

AGREEMENT = 1e-5
"""Of probabilities: the two differ by the order of float32 sums only."""


def trained(configs: Path, name: str, unit: str, floor: float) -> TwoTaskNetwork:
    """A network none of whose weights and statistics is as it was made."""
    words = [f"sharing.unit={unit}", f"sharing.cross_floor={floor}", "model.conv1=4"]
    own = [*words, "model.conv2=6", "model.fc=10"]
    paddle.seed(3)
    network = build_network(load_config(configs / f"{name}.yaml", own))
    for weight in network.parameters():
        weight.set_value(weight + 0.05 * paddle.randn(weight.shape))
    for key, value in network.named_buffers():
        if key.endswith("_mean"):
            value.set_value(paddle.randn(value.shape))
        elif key.endswith("_variance"):
            value.set_value(paddle.rand(value.shape) + 0.5)
    images = np.random.default_rng(3).integers(0, 256, (32, 32, 32), np.uint8)
    network.set_normalisation(images.mean(axis=0), images.std(axis=0))
    network.eval()
    return network


@pytest.mark.parametrize(
    ("name", "unit", "floor"),
    [
        ("single_task", "channel", 0.0),
        ("hard", "channel", 0.0),
        ("soft", "channel", 0.2),
        ("soft", "scalar", 0.0),
        ("partial_soft", "channel", 0.0),
        ("partial_soft", "channel", 0.2),
        ("partial_soft", "scalar", 0.2),
        ("partial_soft", "dense", 0.0),
        ("partial_soft", "dense", 0.2),
    ],
)
def test_every_method_gives_the_same_probabilities(
    configs: Path, name: str, unit: str, floor: float
) -> None:
    folds_to_the_same(trained(configs, name, unit, floor))


def test_an_ensemble_gives_the_same_probabilities(configs: Path) -> None:
    members = [trained(configs, "partial_soft", "channel", floor) for floor in (0.0, 0.2)]
    folds_to_the_same(Ensemble(members))


def folds_to_the_same(network: Trained) -> None:
    images = paddle.rand([5, 1, 32, 32]) * 255
    expected = network.probabilities(images)
    folded = Probabilities(network)
    folded.eval()
    for task, found in zip(network.tasks, folded(images)):
        assert float((expected[task] - found).abs().max()) < AGREEMENT
