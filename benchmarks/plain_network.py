"""The two-task network as one would write it first, in Paddle or in PyTorch.

Both have the same layers under nearly the same names, so that one text serves both: biases
before batch normalisation, ReLU before the pool, four products and two sums in a sharing unit.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

SHARED = {"pool1": 1, "pool2": 3, "fc": 4}
"""Sites of the sharing units, and the index of the stage that they follow."""


def build(library: Any, sizes: Any, classes: tuple[int, int], bias: bool = True) -> Any:
    """A network of (n, 1, 32, 32) images that gives the logits of both tasks.

    Args:
        library: the module paddle or torch.
        sizes: with conv1, conv2, fc and dropout.
        classes: of each task.
        bias: before batch normalisation, where it has no effect; False in PyTorch only.
    """
    nn = library.nn
    base = getattr(nn, "Layer", None) or nn.Module

    def layer(name: str, *arguments: Any, **options: Any) -> Any:
        kind = getattr(nn, name, None) or getattr(nn, name.replace("D", "d"))
        if not bias and name in ("Conv2D", "Linear"):
            options["bias"] = False
        return kind(*arguments, **options)

    def parameter(value: float, *shape: int) -> Any:
        if library.__name__ == "paddle":
            initial = nn.initializer.Constant(value)
            return library.create_parameter(shape, "float32", default_initializer=initial)
        return nn.Parameter(library.full(shape, value))

    def convolution(inputs: int, outputs: int) -> Any:
        conv = layer("Conv2D", inputs, outputs, 3, padding=1)
        return nn.Sequential(conv, layer("BatchNorm2D", outputs), nn.ReLU())

    def tower() -> Any:
        fc = layer("Linear", sizes.conv2 * 8 * 8, sizes.fc)
        stages = (
            convolution(1, sizes.conv1),
            layer("MaxPool2D", 2),
            convolution(sizes.conv1, sizes.conv2),
            layer("MaxPool2D", 2),
            nn.Sequential(nn.Flatten(), fc, layer("BatchNorm1D", sizes.fc), nn.ReLU()),
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
            self.register_buffer("mean", library.full((1, 1, 32, 32), 128.0))
            self.register_buffer("deviation", library.full((1, 1, 32, 32), 64.0))
            self.a, self.b = tower(), tower()
            self.pool1, self.pool2 = Unit(sizes.conv1, 1, 1), Unit(sizes.conv2, 1, 1)
            self.fc = Unit(sizes.fc)
            self.drop = nn.Dropout(sizes.dropout)
            self.head_a, self.head_b = (nn.Linear(sizes.fc, number) for number in classes)

        def forward(self, images: Any) -> tuple[Any, Any]:
            a = b = (images - self.mean) / self.deviation
            units = {stage: getattr(self, site) for site, stage in SHARED.items()}
            for stage in range(5):
                a, b = self.a[stage](a), self.b[stage](b)
                if stage in units:
                    a, b = units[stage](a, b)
            return self.head_a(self.drop(a)), self.head_b(self.drop(b))

    return Network()


def sizes_of(config: Any) -> str:
    """The sizes of a config's network and batch, as JSON."""
    sizes = {key: getattr(config.model, key) for key in ("conv1", "conv2", "fc", "dropout")}
    return json.dumps({**sizes, "batch_size": config.data.batch_size})


def batch_of(size: int, classes: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Made-up images and labels; every fifth has the second task's."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (size, 1, 32, 32)).astype(np.float32)
    first, second = (random.integers(0, count, size) for count in classes)
    second[np.arange(size) % 5 > 0] = -1
    return images, first, second
