"""Findings by crop -> by nodule -> by patient, as the scores pool them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.evaluation.slice_weights import slice_weights
from lungdx_paddle.inference.findings import Finding


def by_nodule(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a nodule: the mean over its crops, the middle slices counting most.

    Findings in a CT are of nodules already.  Crops that are named one by one say nothing of
    their nodule.

    Raises:
        ConfigError: a finding is of no nodule.
    """
    groups: dict[tuple[Any, ...], list[Finding]] = {}
    for finding in findings:
        about = finding.about
        if "nodule" not in about:
            raise ConfigError(
                str(about.get("image")),
                expected="crops whose nodule is known, to pool them by nodule or patient",
                found="a crop without a manifest",
                fix="give the manifest of the crops with --manifest",
            )
        groups.setdefault((_patient(finding), about["nodule"]), []).append(finding)
    return [_pooled(group) for group in groups.values()]


def by_patient(findings: Iterable[Finding]) -> list[Finding]:
    """One finding a patient: malignancy of the most suspicious nodule, the mean pathology.

    So the scores by patient are made.  ``about`` names ``patient_id``, or of a CT ``series_uid``,
    the ``most_suspicious`` nodule, and how many ``nodules`` and ``slices`` there are.
    """
    crops = list(findings)
    nodules: dict[str, list[Finding]] = {}
    for finding in by_nodule(crops):
        nodules.setdefault(_patient(finding), []).append(finding)
    return [
        _of_patient(group, [crop for crop in crops if _patient(crop) == patient])
        for patient, group in nodules.items()
    ]


def _patient(finding: Finding) -> str:
    return str(finding.about.get("patient_id", finding.about.get("series_uid", "")))


def _pooled(crops: list[Finding]) -> Finding:
    first = crops[0]
    if first.region is not None or "slices" in first.about:
        return first  # of a CT
    z_mm = [crop.about["z_mm"] for crop in crops]
    weights = slice_weights(z_mm)
    about = {name: first.about[name] for name in ("patient_id", "nodule")}
    return replace(
        first,
        about={**about, "slices": len(crops)},
        probabilities={
            task: weights @ [(crop.probabilities or {})[task] for crop in crops]
            for task in first.classes
        },
        images=np.concatenate([crop.images for crop in crops if crop.images is not None]),
    )


def _of_patient(nodules: list[Finding], parts: list[Finding]) -> Finding:
    """A patient's finding from those of the nodules, and from the crops or, of a CT, the same."""
    first = nodules[0]
    named = "patient_id" if "patient_id" in first.about else "series_uid"
    about: dict[str, Any] = {named: first.about[named], "nodules": len(nodules)}
    about["slices"] = sum(nodule.about["slices"] for nodule in nodules)
    warnings = tuple(dict.fromkeys(text for nodule in nodules for text in nodule.warnings))
    parts = [part for part in parts if part.probabilities is not None]
    if not parts:
        reason = str(first.about.get("reason", "none of its nodules has a slice"))
        return Finding({**about, "reason": reason}, first.classes, None, warnings, first.cuts)
    refused = (
        f"nodule {nodule.about['nodule']}: {nodule.about['reason']}"
        for nodule in nodules
        if nodule.probabilities is None and "reason" in nodule.about
    )
    warnings = (*warnings, *refused)
    slices = np.array([part.about.get("slices", 1) for part in parts])
    probabilities = {
        task: slices @ [(part.probabilities or {})[task] for part in parts] / slices.sum()
        for task in first.classes
    }
    if MALIGNANCY in first.classes:
        most = max(nodules, key=lambda nodule: nodule.expected_level or 0.0)
        about["most_suspicious"] = most.about["nodule"]
        probabilities[MALIGNANCY] = (most.probabilities or {})[MALIGNANCY]
    return Finding(about, first.classes, probabilities, warnings, first.cuts)
