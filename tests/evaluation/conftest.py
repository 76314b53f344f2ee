"""Made-up predictions, and what was kept of their scores (golden/README.md)."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.data.labels import LABEL_SETS, labels_of
from lungdx_paddle.evaluation.predictions import Predictions, read_predictions
from lungdx_paddle.manifest import Manifest, ManifestRow

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> tuple[Predictions, dict[str, Any]]:
    """194 predictions, and the numbers that were kept of them."""
    scores: dict[str, Any] = json.loads((GOLDEN / "scores.json").read_text(encoding="utf-8"))
    found = read_predictions(GOLDEN / "predictions.csv")
    # When these were kept, a nodule's slices weighed the same, as they do without a position.
    rows = tuple(replace(row, z_mm=None) for row in found.rows)
    return replace(found, rows=rows), scores


@pytest.fixture(scope="session")
def perfect() -> Callable[..., Predictions]:
    """A function (rows) -> predictions that are sure of every label."""

    def make(rows: list[ManifestRow]) -> Predictions:
        label_set = LABEL_SETS["paper6"]
        labels = labels_of(Manifest(Path(), tuple(rows)), label_set)
        sizes = {task: len(names) for task, names in label_set.task_classes.items()}
        sure = {t: np.eye(n)[np.maximum(labels[t], 0)] for t, n in sizes.items()}
        return Predictions(tuple(rows), labels, sure, label_set)

    return make
