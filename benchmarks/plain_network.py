"""The two-task network as one would write it first, in Paddle or in PyTorch.

Both have the same layers under nearly the same names, so that one text serves both: biases
before batch normalisation, ReLU before the pool, four products and two sums in a sharing unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SHARED = (1, 3, 4)
"""Stages after which the towers share: pool1, pool2, fc."""


def build(library: Any, model: Any, classes: tuple[int, int]) -> Any:
    """A network of (n, 1, 32, 32) images that gives the logits of both tasks.

    Args:
        library: the module paddle or torch.
        model: with the sizes conv1, conv2, fc and dropout.
        classes: of each task.
    """
    nn = library.nn
    base = getattr(nn, "Layer", None) or nn.Module

    def layer(name: str, *sizes: Any, **options: Any) -> Any:
        kind = getattr(nn, name, None) or getattr(nn, name.replace("D", "d"))
        return kind(*sizes, **options)

    def parameter(value: float, *shape: int) -> Any:
        if library.__name__ == "paddle":
            initial = nn.initializer.Constant(value)
            return library.create_parameter(shape, "float32", default_initializer=initial)
        return nn.Parameter(library.full(shape, value))

    def tower() -> Any:
        features = model.conv2 * 8 * 8
        stages = (
            nn.Sequential(
                layer("Conv2D", 1, model.conv1, 3, padding=1),
                layer("BatchNorm2D", model.conv1),
                nn.ReLU(),
            ),
            layer("MaxPool2D", 2),
            nn.Sequential(
                layer("Conv2D", model.conv1, model.conv2, 3, padding=1),
                layer("BatchNorm2D", model.conv2),
                nn.ReLU(),
            ),
            layer("MaxPool2D", 2),
            nn.Sequential(
                nn.Flatten(),
                nn.Linear(features, model.fc),
                layer("BatchNorm1D", model.fc),
                nn.ReLU(),
            ),
        )
        return (getattr(nn, "LayerList", None) or nn.ModuleList)(stages)

    class Unit(base):  # type: ignore[misc, valid-type]
        def __init__(self, *shape: int) -> None:
            super().__init__()
            self.own_a, self.own_b = parameter(0.95, *shape), parameter(0.95, *shape)
            self.cross_a, self.cross_b = parameter(0.05, *shape), parameter(0.05, *shape)

        def forward(self, a: Any, b: Any) -> tuple[Any, Any]:
            return self.own_a * a + self.cross_a * b, self.own_b * b + self.cross_b * a

    class Network(base):  # type: ignore[misc, valid-type]
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = tower(), tower()
            self.unit1 = Unit(model.conv1, 1, 1)
            self.unit3 = Unit(model.conv2, 1, 1)
            self.unit4 = Unit(model.fc)
            self.drop = nn.Dropout(model.dropout)
            self.head_a = nn.Linear(model.fc, classes[0])
            self.head_b = nn.Linear(model.fc, classes[1])

        def forward(self, images: Any) -> tuple[Any, Any]:
            a = b = (images - 128.0) / 64.0
            for stage in range(5):
                a, b = self.a[stage](a), self.b[stage](b)
                if stage in SHARED:
                    a, b = getattr(self, f"unit{stage}")(a, b)
            return self.head_a(self.drop(a)), self.head_b(self.drop(b))

    return Network()


def batch_of(size: int, classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up images and labels; every fifth has the second task's."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (size, 1, 32, 32)).astype(np.float32)
    first, second = (random.integers(0, count, size) for count in classes)
    second[np.arange(size) % 5 > 0] = -1
    return images, first, second
