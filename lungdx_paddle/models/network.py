"""The two-task network: towers, sharing units at a set of sites, one head per task.

The paper's four methods are this one class with different ``sharing.sites``: none
(single-task), the trunk (hard), all five stages (soft), pool1, pool2 and fc (partial soft).
A network for one task is a trunk with one head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import paddle
from paddle import nn
from paddle.nn import functional

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.manifest import CROP_SIZE
from lungdx_paddle.models.sharing import UNITS
from lungdx_paddle.models.tower import Tower, stage_shapes
from lungdx_paddle.settings import STAGES, TRUNK, Config, ModelConfig, SharingConfig

LEAST_DEVIATION = 1.0
"""Gray levels.  A pixel that is black in every training image has a deviation of 0; below
one level of the 8-bit values there is nothing to normalise."""


class TwoTaskNetwork(nn.Layer):
    """Gray images to logits of each task.

    Args:
        model: sizes of a tower.
        sharing: sites and kind of the sharing units.
        classes: {task: number of classes}, in the order of the outputs; two tasks, or one with a
            trunk.
    """

    def __init__(
        self, model: ModelConfig, sharing: SharingConfig, classes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.tasks: tuple[str, ...] = tuple(classes)
        for name, value in (("pixel_mean", 0.0), ("pixel_deviation", 1.0)):
            pixels = paddle.full([1, 1, CROP_SIZE, CROP_SIZE], value)
            pixels.persistable = True  # or Paddle 2.6 leaves it out of an exported program
            self.register_buffer(name, pixels)
        owners = (TRUNK,) if TRUNK in sharing.sites else self.tasks
        self.towers = nn.LayerDict({name: Tower(model, sharing.sites) for name in owners})
        shapes, unit = stage_shapes(model), UNITS[sharing.unit]
        self.units = nn.LayerDict(
            {s: unit(shapes[s], sharing.cross_floor) for s in STAGES if s in sharing.sites}
        )
        self.drop = nn.Dropout(model.dropout)
        self.flips = model.flips
        self.heads = nn.LayerDict({t: nn.Linear(model.fc, n) for t, n in classes.items()})

    @property
    def members(self) -> tuple[TwoTaskNetwork, ...]:
        """The networks whose mean is the output: this one alone, or those of an ensemble."""
        return (self,)

    def set_normalisation(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Set each pixel's mean and standard deviation over the training images.

        They are part of the network, so that an exported model cannot be used with others.

        Args:
            mean: (32, 32) of gray values from 0 to 255.
            deviation: (32, 32) of the same.
        """
        shape = self.pixel_mean.shape
        self.pixel_mean.set_value(mean.reshape(shape).astype(np.float32))
        at_least = np.maximum(deviation, LEAST_DEVIATION)
        self.pixel_deviation.set_value(at_least.reshape(shape).astype(np.float32))

    def features(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, fc) features after the last stage and sharing unit}.

        Args:
            images: (n, 1, 32, 32) float32 gray values from 0 to 255.
        """
        x = (images - self.pixel_mean) / self.pixel_deviation
        features = self.run_towers([x for _ in self.towers])
        # Of a trunk, whose features every task takes, there are only one task's.
        return dict(zip(self.tasks, [*features, *features]))

    def run_towers(self, features: Sequence[paddle.Tensor]) -> Sequence[paddle.Tensor]:
        """Every tower's (n, fc) features, from every tower's (n, 1, 32, 32) input.

        :mod:`lungdx_paddle.training.parallel.threads` replaces this loop by one that runs the
        towers in threads and computes the same bits.
        """
        for stage in STAGES:
            features = [self.towers[name].run(stage, x) for name, x in zip(self.towers, features)]
            if stage in self.units:
                features = self.units[stage](*features)
        return features

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) logits} of (n, 1, 32, 32) float32 gray values, 0 to 255."""
        return {task: self.heads[task](self.drop(x)) for task, x in self.features(images).items()}

    def probabilities(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) probabilities} of the same images as :meth:`forward`.

        With ``model.flips`` the mean over each image's eight orientations.
        """
        if not self.flips:
            return {task: functional.softmax(logits) for task, logits in self(images).items()}
        ways = [*_flips(images), *_flips(images.transpose([0, 1, 3, 2]))]
        found = {}
        for task, logits in self(paddle.concat(ways)).items():
            each = functional.softmax(logits).reshape([len(ways), -1, logits.shape[-1]])
            found[task] = each.mean(axis=0)
        return found

    def shares(self) -> dict[str, dict[str, float]]:
        """{site: {task: mean share that the task takes from the other}}."""
        return {site: dict(zip(self.tasks, unit.shares())) for site, unit in self.units.items()}

    def output_shares(self) -> dict[str, dict[str, np.ndarray]]:
        """{site: {task: (outputs,) share that each of its outputs takes from the other}}."""
        units = self.units.items()
        return {site: dict(zip(self.tasks, unit.output_shares())) for site, unit in units}

    def decayed(self) -> list[paddle.Tensor]:
        """The weights under the L2 loss; those of sharing units, BN and heads are not."""
        return [weight for tower in self.towers.values() for weight in tower.decayed()]


def _flips(images: paddle.Tensor) -> list[paddle.Tensor]:
    """(n, 1, 32, 32) images as they are, and flipped along rows, columns, both."""
    return [images, *(images.flip(axes) for axes in ([2], [3], [2, 3]))]


def build_network(config: Config) -> TwoTaskNetwork:
    """The network that a config describes, with fresh weights on the current device.

    Call :func:`lungdx_paddle.runtime.set_up` first, which chooses the device and the seed.
    """
    tasks = LABEL_SETS[config.data.label_set].task_classes
    return TwoTaskNetwork(
        config.model,
        replace(config.sharing, sites=sites_of(config)),
        {task: len(names) for task, names in tasks.items()},
    )


def sites_of(config: Config) -> tuple[str, ...]:
    """Where a config's towers share: ``sharing.sites``; with one task the trunk, whatever it is."""
    tasks = LABEL_SETS[config.data.label_set].task_classes
    return config.sharing.sites if len(tasks) > 1 else (TRUNK,)
