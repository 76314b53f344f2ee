"""A training that can give no number stops, and keeps what it stopped at.

``not_finite/`` in the run's folder holds the state before the step as a checkpoint has it,
``batch.csv`` and ``losses.json``.  The run's own checkpoint stays that of the last full row.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import numpy as np

from lungdx_paddle.errors import OutputError
from lungdx_paddle.files import new_folder, write_text
from lungdx_paddle.training.checkpoint import save_checkpoint
from lungdx_paddle.training.run import NOT_FINITE
from lungdx_paddle.training.step import NotFiniteError, TrainingError, TrainingState

BATCH, LOSSES = "batch.csv", "losses.json"

SHOWN = 3
"""Names in a message of one line; all are in the files."""


def check_weights(state: TrainingState) -> None:
    """See that the last update has left numbers, in every process.

    Raises:
        NotFiniteError: it has not.
    """
    wrong = _not_finite(state)
    if state.processes.sum([len(wrong)])[0]:
        names = f"{', '.join(wrong[:SHOWN])}, after its update" if wrong else "another process"
        found = f"nan or infinity in {names}"
        raise NotFiniteError(state, state.step - 1, "weights that are numbers", found, {})


def stopped(state: TrainingState, error: NotFiniteError, training: str) -> TrainingError:
    """Keep a state that gives no number, by rank 0; the error that names it and the batch.

    Args:
        state: before the step, or after the update that gave no numbers.
        error: of the step.
        training: digest of the settings and crops.
    """
    folder = state.config.output_folder / NOT_FINITE
    rows = list(_batch_rows(state, error.step))
    images = [str(row["image"]) for row in rows if row["step"] == error.step]
    kept = f"state and batch are in {folder}"

    def save() -> None:
        if not state.processes.is_first:
            return
        with new_folder(folder) as new:
            save_checkpoint(new, state.network, state.optimizer, state.step, training)
            write_text(new / BATCH, _csv(rows))
            # JSON has no NaN and no infinity.
            losses = {k: v if np.isfinite(v) else str(v) for k, v in error.losses.items()}
            rate = state.optimizer.learning_rate
            entries = {"step": error.step, "learning_rate": rate, "losses": losses}
            entries["weights_that_are_no_numbers"] = _not_finite(state)
            write_text(new / LOSSES, json.dumps(entries, indent=1) + "\n")

    try:  # the others wait, or their end would end rank 0 while it writes
        state.processes.rank_zero_first(save)
    except OutputError as failure:
        kept = f"its state is not kept: {failure}"
    more = f" and {len(images) - SHOWN} more" if len(images) > SHOWN else ""
    checkpoint = error.step >= state.config.train.log_every
    resumed = "; --resume goes on from the last full row" if checkpoint else ""
    return TrainingError(
        error.where,
        expected=error.expected,
        found=f"{error.found}, in the batch {', '.join(images[:SHOWN])}{more}",
        fix=f"{error.fix}; {kept}{resumed}",
    )


def _not_finite(state: TrainingState) -> list[str]:
    weights = state.network.state_dict().items()
    return [name for name, value in weights if not np.isfinite(value.numpy()).all()]


def _batch_rows(state: TrainingState, last: int) -> Iterator[dict[str, object]]:
    """The images of a step and of the one before, whose update made the weights."""
    for step in range(max(last - 1, 0), last + 1):
        chosen = state.order.indices(step)
        for place, index in enumerate(chosen.tolist()):
            row = state.train.manifest.rows[index]
            labels = {task: int(of[index]) for task, of in state.train.labels.items()}
            yield {"step": step, "place": place, "image": row.image, **labels}


def _csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
