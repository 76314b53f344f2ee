"""The YAML at the top of a model card, which programs read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.inference.card_data import PHANTOM, collection_name
from lungdx_paddle.inference.card_tables import LEVEL, SCORES
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_metrics import RunMetrics

DIGITS = 4
"""Of a number."""


def front_matter(run: Run, description: Mapping[str, Any], metrics: RunMetrics | None) -> str:
    """What programs read: the keys that model hubs know, and our own."""
    collection = collection_name(run.record.manifest)
    tasks = LABEL_SETS[run.config.data.label_set].task_classes
    tags = ["medical", "ct", "lung-nodule", "research-use", "not-a-medical-device"]
    names = [name for task in tasks for name in SCORES[task]]
    entries: dict[str, Any] = {
        "license": "unknown",
        "software_license": "apache-2.0",
        "library_name": "lungdx_paddle",
        "pipeline_tag": "image-classification",
        "tags": [*tags, *([PHANTOM] if collection == PHANTOM else [])],
        "datasets": [collection],
        "metrics": list(dict.fromkeys(names)),
        "version": description["versions"]["lungdx_paddle"],
        "date": description["versions"]["exported"],
        "weights": description["training"]["digests"]["weights"],
    }
    if metrics:
        results = [_result(metrics, task, collection) for task in tasks]
        entries["model-index"] = [{"name": run.config.name, "results": results}]
    return f"---\n{yaml.safe_dump(entries, sort_keys=False)}---\n"


def _result(metrics: RunMetrics, task: str, collection: str) -> dict[str, Any]:
    """A task's scores that are shown, with their intervals."""
    level = LEVEL[task]
    scores = metrics.test.level(level)[task]
    found = {name: getattr(scores, name) for name in SCORES[task]}
    return {
        "task": {"type": "image-classification", "name": f"{task} by {level}"},
        "dataset": {"type": collection, "name": f"{collection}, {metrics.part}"},
        "metrics": [
            {"type": name, "value": round(e.value, DIGITS), "args": _args(e, level)}
            for name, e in found.items()
            if e is not None and e.value is not None and not e.too_few
        ],
    }


def _args(estimate: Estimate, level: str) -> dict[str, Any]:
    """How certain a number of the front matter is, and what it rests on."""
    interval = [round(end, DIGITS) for end in estimate.interval] if estimate.interval else None
    return {"level": level, "interval": interval, "patients": estimate.patients}
