"""The last lines of a training: what came out, what it is worth, what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lungdx_paddle.config import differences, load_config
from lungdx_paddle.evaluation.scores import SCORE_LEVELS, Scores
from lungdx_paddle.settings import Config


def closing(config: Config, metrics: Mapping[str, Any]) -> str:
    """The result with its counts, the honest remarks, and the commands that follow."""
    return "\n".join([*_result(metrics), *_remarks(config, metrics), *_next(config)])


def _result(metrics: Mapping[str, Any]) -> list[str]:
    title = f"Test accuracy after step {metrics['step']} (split by {metrics['split']}):"
    return ["", title, *result_lines(metrics["test"])]


def result_lines(test: Mapping[str, Any]) -> list[str]:
    """Accuracies at image, nodule and patient level, each with what it rests on.

    Args:
        test: of :meth:`lungdx_paddle.evaluation.scores.Scores.to_dict`.
    """
    scores = Scores.from_dict(test)
    lines = [f"  {'':8}" + "".join(f"{name:>12}" for name in ("both", *scores.image))]
    for level, count in zip(SCORE_LEVELS, (scores.images, scores.nodules, scores.patients)):
        own = [scores.total(level), *(s.accuracy.value for s in scores.level(level).values())]
        shown = "".join(f"{_number(value):>12}" for value in own)
        lines.append(f"  {level:8}{shown}   of {count} {level}s")
    known = ", ".join(f"{s.labelled} with {task}" for task, s in scores.patient.items())
    lines.append(f"  patients with a label: {known}")
    return lines


def leakage_line(leakage: Mapping[str, Any]) -> str:
    """What a test part shares with the training part."""
    if "in_words" in leakage:  # of all crops of a manifest, whoever they are
        return f"Note: {leakage['in_words']}."
    words = "no patient is on both sides of the split"
    if leakage["leaks"]:
        words = (
            f"this split leaks: {leakage['patients_on_both_sides']} patients and "
            f"{leakage['nodules_on_both_sides']} nodules are on both sides, "
            f"{leakage['test_images_of_known_patients']} of {leakage['test_images']} test images "
            "show a patient from the training part; data.split=patient gives the honest number"
        )
    copies = leakage["near_duplicate_test_images"]
    alike = f"; {copies} test images are near-duplicates of training images" if copies else ""
    return f"Note: {words}{alike}."


def on_unseen_patients(config: Config) -> str:
    """What the config of a leaking run scores split by patient, or the command that tells."""
    apart = config.by_patient()
    path = apart.output_folder / "metrics.json"
    if not path.is_file():
        return (
            "For the number on unseen patients: python tools/train.py -c "
            f"{config.output_folder}/config.yaml -o data.split=patient output={apart.output}"
        )
    other = load_config(path.parent / "config.yaml")
    changed = differences(replace(other, name=apart.name, output=apart.output), apart)
    if changed:
        return f"{path.parent}: split by patient, but of other settings ({changed[0]})"
    scores = Scores.from_dict(json.loads(path.read_text(encoding="utf-8"))["test"])
    each = (f"{_number(scores.total(level))} by {level}" for level in ("image", "patient"))
    return f"Split by patient, the same config: test accuracy {', '.join(each)}"


def _remarks(config: Config, metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    if metrics["data"] == "phantom":
        lines.append("This is PHANTOM data, made by a program: the numbers mean nothing medical.")
    if metrics["leakage"]["leaks"]:
        lines += [leakage_line(metrics["leakage"]), on_unseen_patients(config)]
    lines.append(f"For {metrics['note']}.")
    return lines


def _next(config: Config) -> list[str]:
    folder = config.output_folder
    curves = folder if config.is_ensemble else f"{folder}/vdl"
    return [
        "",
        f"See the curves:  visualdl --logdir {curves} --disable-telemetry --port 8040",
        f"Export:          python tools/export.py --run {folder} --out {folder}/inference",
        f"Predict:         python tools/predict.py --model {folder}/inference "
        f"--manifest {config.data.manifest}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
