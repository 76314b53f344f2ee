"""The two-task network in plain torch.nn, with the weights of a Paddle run.

Written as one would write it for PyTorch; sharing units multiply by one number a channel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

STAGES = ("conv1", "pool1", "conv2", "pool2", "fc")


class Unit(nn.Module):
    """a' = own_a * a + cross_a * b, and b' likewise."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, weight in weights.items():
            self.register_buffer(name, weight)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        shape = (1, -1) + (1,) * (a.ndim - 2)
        own_a, cross_a = self.own_a.view(shape), self.cross_a.view(shape)
        own_b, cross_b = self.own_b.view(shape), self.cross_b.view(shape)
        return own_a * a + cross_a * b, own_b * b + cross_b * a


class Network(nn.Module):
    """Gray crops to the probabilities of both tasks.

    Args:
        arrays: ``tower.layer.name`` of either tower, ``unit.stage.name``, ``head.task.name``,
            ``mean`` and ``deviation`` of the pixels.
    """

    def __init__(self, arrays: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.register_buffer("mean", arrays["mean"])
        self.register_buffer("deviation", arrays["deviation"])
        self.towers = nn.ModuleList([_tower(arrays, f"tower{k}.") for k in (0, 1)])
        self.heads = nn.ModuleList([_linear(arrays, f"head{k}.") for k in (0, 1)])
        units = {stage: _under(arrays, f"unit.{stage}.") for stage in STAGES}
        self.units = nn.ModuleDict({stage: Unit(own) for stage, own in units.items() if own})

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        x = (images - self.mean) / self.deviation
        pair = (x, x)
        for stage in STAGES:
            pair = tuple(tower[stage](x) for tower, x in zip(self.towers, pair))
            if stage in self.units:
                pair = self.units[stage](*pair)
        return tuple(torch.softmax(head(x), dim=1) for head, x in zip(self.heads, pair))


def load(path: Path) -> Network:
    """The network whose arrays :func:`inference.torch_weights` wrote, in inference mode."""
    with np.load(path) as arrays:
        return Network({name: torch.from_numpy(arrays[name]) for name in arrays}).eval()


def _tower(arrays: dict[str, torch.Tensor], prefix: str) -> nn.ModuleDict:
    own = _under(arrays, prefix)
    conv1, conv2 = _convolution(own, "conv1."), _convolution(own, "conv2.")
    bn1, bn2 = (_normalisation(own, f"bn{k}.", nn.BatchNorm2d) for k in (1, 2))
    fc, bn3 = _linear(own, "fc."), _normalisation(own, "bn3.", nn.BatchNorm1d)
    return nn.ModuleDict(
        {
            "conv1": nn.Sequential(conv1, bn1, nn.ReLU()),
            "pool1": nn.MaxPool2d(2),
            "conv2": nn.Sequential(conv2, bn2, nn.ReLU()),
            "pool2": nn.MaxPool2d(2),
            "fc": nn.Sequential(nn.Flatten(), fc, bn3, nn.ReLU()),
        }
    )


def _convolution(arrays: dict[str, torch.Tensor], prefix: str) -> nn.Conv2d:
    weight = arrays[prefix + "weight"]
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, bias=False)
    layer.load_state_dict({"weight": weight})
    return layer


def _linear(arrays: dict[str, torch.Tensor], prefix: str) -> nn.Linear:
    state = _under(arrays, prefix)
    state["weight"] = state["weight"].T.contiguous()  # Paddle's are (inputs, outputs)
    layer = nn.Linear(*reversed(state["weight"].shape), bias="bias" in state)
    layer.load_state_dict(state)
    return layer


def _normalisation(arrays: dict[str, torch.Tensor], prefix: str, kind: type) -> nn.Module:
    own = _under(arrays, prefix)
    layer = kind(len(own["weight"]))
    names = {"_mean": "running_mean", "_variance": "running_var"}  # Paddle's and PyTorch's
    layer.load_state_dict({names.get(n, n): value for n, value in own.items()}, strict=False)
    return layer


def _under(arrays: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {n[len(prefix) :]: value for n, value in arrays.items() if n.startswith(prefix)}
