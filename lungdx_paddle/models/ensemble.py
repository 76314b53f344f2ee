"""Several networks that answer as one."""

from __future__ import annotations

from typing import Dict, Sequence

import paddle
from paddle import nn
from paddle.nn import functional

from lungdx_paddle.models.network import TwoTaskNetwork

LEAST_PROBABILITY = 1e-12
"""Below it a probability's logarithm would be of no use, and -inf for 0."""


class Ensemble(nn.Layer):
    """The mean of its members' probabilities.

    It is used like a single network: its logits are the logarithms of that mean, of which
    softmax gives the mean again.

    Args:
        members: networks for the same tasks and classes.
    """

    def __init__(self, members: Sequence[TwoTaskNetwork]) -> None:
        super().__init__()
        self.members = nn.LayerList(members)
        self.tasks = members[0].tasks

    @property
    def pixel_mean(self) -> paddle.Tensor:
        """(1, 1, 32, 32) mean gray values that the members take from each pixel."""
        return sum(member.pixel_mean for member in self.members) / len(self.members)

    def forward(self, images: paddle.Tensor) -> Dict[str, paddle.Tensor]:
        """{task: (n, classes) logits} of (n, 1, 32, 32) float32 gray values, 0 to 255."""
        said = [member(images) for member in self.members]
        return {task: _log_of_mean([logits[task] for logits in said]) for task in self.tasks}


def _log_of_mean(logits: Sequence[paddle.Tensor]) -> paddle.Tensor:
    mean = sum(functional.softmax(part) for part in logits) / len(logits)
    return mean.clip(min=LEAST_PROBABILITY).log()
