"""The two-task network: towers, sharing units at a set of sites, a head a task.

The paper's four methods are this one class with different ``sharing.sites``: none
(single-task), the trunk (hard), all five stages (soft), pool1, pool2 and fc (partial soft).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

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


Stretch = Callable[[int, Sequence[paddle.Tensor]], paddle.Tensor]
"""Where a tower, by its number, is after some stages, from where all towers were before."""
Each = Callable[[Stretch, Sequence[paddle.Tensor]], list[paddle.Tensor]]


def in_turn(stretch: Stretch, states: Sequence[paddle.Tensor]) -> list[paddle.Tensor]:
    """Where every tower is after a stretch."""
    return [stretch(tower, states) for tower in range(len(states))]


class TwoTaskNetwork(nn.Layer):
    """Gray images to logits of both tasks.

    Args:
        model: sizes of a tower.
        sharing: sites and kind of the sharing units.
        classes: {task: number of classes}, in the order of the outputs; two tasks.
    """

    def __init__(
        self, model: ModelConfig, sharing: SharingConfig, classes: Mapping[str, int]
    ) -> None:
        super().__init__()
        self.tasks: tuple[str, ...] = tuple(classes)
        self.sites = sharing.sites
        self.register_buffer("pixel_mean", _constant(0.0))
        self.register_buffer("pixel_deviation", _constant(1.0))
        self.owners = (TRUNK,) if TRUNK in sharing.sites else self.tasks
        self.towers = nn.LayerDict({name: Tower(model, sharing.sites) for name in self.owners})
        shapes = stage_shapes(model)
        unit = UNITS[sharing.unit]
        self.units = nn.LayerDict(
            {
                stage: unit(shapes[stage], sharing.cross_floor)
                for stage in STAGES
                if stage in sharing.sites
            }
        )
        self.stretches = _stretches(self.units)
        self.each: Each = in_turn
        """How the towers' stretches are computed; a training may put another way here."""
        self.drop = nn.Dropout(model.dropout)
        self.heads = nn.LayerDict({t: nn.Linear(model.fc, n) for t, n in classes.items()})

    @property
    def members(self) -> tuple[TwoTaskNetwork, ...]:
        """The networks that answer: of an ensemble several, here this one."""
        return (self,)

    def set_normalisation(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take each pixel's mean and deviation over the training images.

        They are part of the network, so that an exported model cannot be fed with others.

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
        states = [x for _ in self.owners]
        for site, stages in self.stretches:
            states = self.each(partial(self._stretch, site, stages), states)
        named = dict(zip(self.owners, states))
        return {task: named.get(task, named.get(TRUNK)) for task in self.tasks}

    def _stretch(
        self, site: str, stages: Sequence[str], tower: int, states: Sequence[paddle.Tensor]
    ) -> paddle.Tensor:
        x = self.units[site].mixed(tower, states) if site else states[tower]
        for stage in stages:
            x = self.towers[self.owners[tower]].run(stage, x)
        return x

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) logits} of (n, 1, 32, 32) float32 gray values, 0 to 255."""
        return {task: self.heads[task](self.drop(x)) for task, x in self.features(images).items()}

    def probabilities(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) probabilities} of what :meth:`forward` takes."""
        return {task: functional.softmax(logits) for task, logits in self(images).items()}

    def shares(self) -> dict[str, dict[str, float]]:
        """{site: {task: mean share that the task takes from the other}}."""
        return {site: dict(zip(self.tasks, unit.shares())) for site, unit in self.units.items()}

    def output_shares(self) -> dict[str, dict[str, np.ndarray]]:
        """{site: {task: (outputs,) share that each of its outputs takes from the other}}."""
        units = self.units.items()
        return {site: dict(zip(self.tasks, unit.output_shares())) for site, unit in units}

    def decayed(self) -> list[paddle.Tensor]:
        """The weights under the L2 loss; sharing units, BN and heads are not among them."""
        return [weight for tower in self.towers.values() for weight in tower.decayed()]


def _stretches(sites: Collection[str]) -> list[tuple[str, tuple[str, ...]]]:
    """[(site that precedes, or "", stages)]: where towers do not meet, each goes on alone."""
    found: list[tuple[str, tuple[str, ...]]] = [("", ())]
    for stage in STAGES:
        site, stages = found[-1]
        found[-1] = (site, (*stages, stage))
        if stage in sites:
            found.append((stage, ()))
    return found


def _constant(value: float) -> paddle.Tensor:
    pixels = paddle.full([1, 1, CROP_SIZE, CROP_SIZE], value)
    pixels.persistable = True  # or Paddle 2.6 leaves it out of an exported program
    return pixels


def build_network(config: Config) -> TwoTaskNetwork:
    """The network that a config describes, with fresh weights."""
    tasks = LABEL_SETS[config.data.label_set].task_classes
    return TwoTaskNetwork(
        config.model, config.sharing, {task: len(names) for task, names in tasks.items()}
    )
