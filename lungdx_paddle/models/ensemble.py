"""An ensemble: the mean of several networks' probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import nn

from lungdx_paddle.models.network import TwoTaskNetwork

LEAST_PROBABILITY = 1e-12
"""Added to a mean, of which 0 would have no logarithm; far below float32's precision of 1."""


class Ensemble(nn.Layer):
    """The mean of its members' probabilities, used like a single network.

    Its logits are the logarithms of that mean, of which softmax gives the mean again.

    Args:
        members: networks for the same tasks and classes.
    """

    def __init__(self, members: Sequence[TwoTaskNetwork]) -> None:
        super().__init__()
        self.members = nn.LayerList(members)
        self.tasks = members[0].tasks

    @property
    def pixel_mean(self) -> paddle.Tensor:
        """(1, 1, 32, 32) gray values: the mean over members of each pixel's training mean."""
        return sum(member.pixel_mean for member in self.members) / len(self.members)

    def forward(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) logits} of (n, 1, 32, 32) float32 gray values, 0 to 255."""
        means = self.probabilities(images)
        return {task: (mean + LEAST_PROBABILITY).log() for task, mean in means.items()}

    def probabilities(self, images: paddle.Tensor) -> dict[str, paddle.Tensor]:
        """{task: (n, classes) mean of the members' probabilities}."""
        found = [member.probabilities(images) for member in self.members]
        return {task: sum(each[task] for each in found) / len(found) for task in self.tasks}


Trained = TwoTaskNetwork | Ensemble
"""A trained model: one network or an ensemble."""
