"""One task's tower of named stages: conv1, pool1, conv2, pool2, fc (the paper's Figure 4)."""

from __future__ import annotations

from collections.abc import Collection

import paddle
from paddle import nn
from paddle.nn import functional

from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.settings import STAGES, ModelConfig


class Tower(nn.Layer):
    """The paper's network for one task, stage by stage.

    conv 3x3, BN, ReLU, max-pool 2 (twice), then fully connected, BN, ReLU.  Two things
    are written differently and compute the same, which a test holds to 1e-5:

    * what precedes batch normalisation has no bias, since its mean takes it away again;
    * ReLU follows the max-pool, since the two commute and a quarter of the values is
      left to do; where towers share between the two, ReLU stands before the site.

    Args:
        model: sizes.
        sites: stages after which a sharing unit follows.
    """

    def __init__(self, model: ModelConfig, sites: Collection[str] = ()) -> None:
        super().__init__()
        he = paddle.ParamAttr(initializer=nn.initializer.KaimingNormal())
        self.conv1 = nn.Conv2D(1, model.conv1, 3, padding=1, weight_attr=he, bias_attr=False)
        self.bn1 = nn.BatchNorm2D(model.conv1)
        self.conv2 = nn.Conv2D(
            model.conv1, model.conv2, 3, padding=1, weight_attr=he, bias_attr=False
        )
        self.bn2 = nn.BatchNorm2D(model.conv2)
        features = model.conv2 * (CROP_SIZE // 4) ** 2
        self.fc = nn.Linear(features, model.fc, weight_attr=he, bias_attr=False)
        self.bn3 = nn.BatchNorm1D(model.fc)
        pairs = (("conv1", "pool1"), ("conv2", "pool2"))
        self.relu_ends = {"fc", *(conv if conv in sites else pool for conv, pool in pairs)}
        """Stages whose last operation is the ReLU."""

    def run(self, stage: str, x: paddle.Tensor) -> paddle.Tensor:
        """Apply one stage of :data:`lungdx_paddle.settings.STAGES` to its input."""
        # Not match: the compiler of Paddle 2.6 does not know it.
        if stage == "conv1":
            x = self.bn1(self.conv1(x))
        elif stage == "conv2":
            x = self.bn2(self.conv2(x))
        elif stage == "fc":
            x = self.bn3(self.fc(x.flatten(1)))
        elif self.training:
            # The gradient by index takes half the time of the one that searches again.
            x, _ = functional.max_pool2d(x, 2, 2, return_mask=True)
        else:
            x = functional.max_pool2d(x, 2, 2)
        return functional.relu(x) if stage in self.relu_ends else x

    def decayed(self) -> tuple[paddle.Tensor, ...]:
        """The weights under the L2 loss: convolutions and fc."""
        return self.conv1.weight, self.conv2.weight, self.fc.weight


def stage_shapes(model: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of each stage's output without the batch: {stage: (channels, rows, columns)}."""
    half, quarter = CROP_SIZE // 2, CROP_SIZE // 4
    shapes = (
        (model.conv1, CROP_SIZE, CROP_SIZE),
        (model.conv1, half, half),
        (model.conv2, half, half),
        (model.conv2, quarter, quarter),
        (model.fc,),
    )
    return dict(zip(STAGES, shapes))
