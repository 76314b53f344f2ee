"""``MODEL_CARD.md``: what an exported model is for, what it rests on, and where it fails.

The prose is the template ``model_card.md`` beside this file.  What is put into it comes from the
run's record, and what the record does not hold is named as unknown.
"""

from __future__ import annotations

import importlib.resources
import string
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

import lungdx_paddle
from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.calibration import Calibration
from lungdx_paddle.evaluation.intervals import COVERAGE, LEAST_PATIENTS, RESAMPLES
from lungdx_paddle.evaluation.mistakes import worst_mistakes
from lungdx_paddle.evaluation.predictions import Predictions
from lungdx_paddle.files import read_json
from lungdx_paddle.inference import card_tables
from lungdx_paddle.inference.card_data import (
    LIDC,
    PHANTOM,
    collection_name,
    data_fields,
    is_public,
)
from lungdx_paddle.inference.card_front_matter import front_matter
from lungdx_paddle.inference.card_tables import table
from lungdx_paddle.models.network import sites_of
from lungdx_paddle.settings import TRUNK, Config
from lungdx_paddle.training.held_out import scored_predictions
from lungdx_paddle.training.run import Run
from lungdx_paddle.training.run_metrics import RunMetrics
from lungdx_paddle.words import count_of

CARD = "MODEL_CARD.md"

CLICKS = Path(lungdx_paddle.__file__).parent.parent / "docs" / "lab" / "numbers" / "clicks.json"
"""What was measured of clicks, in a checkout: its ``results`` hold ``weights``, the digest of the
run's, and ``clicks``, a list of rows {heading: cell}."""

OF_PATIENTS = {
    "phantom": "",
    "what_phantom": "",
    "for_whom": "Researchers in imaging and computer-aided diagnosis who can judge a chest CT, or "
    "work with somebody who can.",
    "for_what": "To compare methods, to teach, and for retrospective studies of CT whose outcome "
    "is known.",
}
OF_PHANTOM = {
    "phantom": " (PHANTOM)",
    "what_phantom": " **It was trained on a PHANTOM, made by a program**: it shows that the "
    "software works; no number below and no answer to a real CT has a medical meaning.",
    "for_whom": "Whoever tries the software.",
    "for_what": "To see that training, export and prediction work. Nothing else.",
}
"""What a card says otherwise where the model was trained on no patients."""

ONE_NETWORK = "all that one network holds out is what it is scored on"
"""Why a run that is no cross-validation has no calibration."""

CITE_LIDC = (
    "- The data: Armato SG III et al., *The Lung Image Database Consortium (LIDC) and Image "
    "Database Resource Initiative (IDRI)*, Med Phys 2011;38:915-931; *Data From LIDC-IDRI*, The "
    "Cancer Imaging Archive 2015, doi:10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0."
)


@dataclass(frozen=True)
class Evidence:
    """What a run knows of its own answers."""

    metrics: RunMetrics | None
    worst: Mapping[str, Predictions]
    """{task: its worst mistakes}, with images where the run's crops are still there."""
    why: str = ""
    """Why there is none."""

    @classmethod
    def of(cls, run: Run) -> Evidence:
        """The scores and mistakes of a run's present weights; none of a run that goes on."""
        try:
            metrics, predictions = run.metrics, scored_predictions(run)
        except CheckpointError:
            steps = f"step {run.step} of {run.config.train.steps}"
            return cls(None, {}, f"the training is at {steps}, or its scores are of other weights")
        worst = {task: worst_mistakes(predictions, task) for task in predictions.labels}
        return cls(metrics, worst)


def model_card(
    run: Run, description: Mapping[str, Any], evidence: Evidence, pictures: Mapping[str, str]
) -> str:
    """The card of a run that is exported: Markdown with YAML front matter.

    Args:
        run: what is exported.
        description: what its ``inference.yml`` says.
        evidence: of the same weights.
        pictures: {task: file beside the card that shows its worst mistakes}.
    """
    fields = {
        "front_matter": front_matter(run, description, evidence.metrics),
        **_identity(run, description),
        **data_fields(run),
        **_way(run, description),
        **_evidence(run, evidence, pictures),
        "clicks": _clicks(description["training"]["digests"]["weights"]),
    }
    files = importlib.resources.files(__package__)
    template = files.joinpath("model_card.md").read_text(encoding="utf-8")
    return string.Template(template).substitute(fields)


def _identity(run: Run, description: Mapping[str, Any]) -> dict[str, str]:
    """What it is, for whom, and how to cite it."""
    collection, versions = collection_name(run.record.manifest), description["versions"]
    classes = LABEL_SETS[run.config.data.label_set].classes
    disease = f", and which the patient's disease is: {', '.join(classes)}"
    try:
        start = run.environment
        date, commit = start.date[:10], start.commit or "unknown"
        trained = f"{date}, commit {commit}, lungdx_paddle {start.lungdx_paddle}"
        environment = [(name, own) for name, _, own in start.rows()]
    except CheckpointError:
        trained, environment = "not recorded", [("not recorded", "")]
    return {
        **(OF_PHANTOM if collection == PHANTOM else OF_PATIENTS),
        **description["training"]["digests"],
        "name": run.config.name.replace("|", r"\|"),
        "research_use": RESEARCH_USE,
        "disease": disease if classes else "",
        "few_diagnosed": ", and of the patient's disease it knows few patients" if classes else "",
        "software_version": versions["lungdx_paddle"],
        "exported": versions["exported"],
        "trained": trained,
        "environment": table(["trained with", ""], environment),
        "step": str(run.step),
        "steps": str(run.config.train.steps),
        "networks": str(len(run.members)),
        "citation": f"\n{CITE_LIDC}" if collection == LIDC else "",
        "data_licence": "; LIDC-IDRI is under CC BY 3.0" if collection == LIDC else "",
    }


def _way(run: Run, description: Mapping[str, Any]) -> dict[str, str]:
    """From the crop to the answer: network, ensemble, calibration, and how it was trained."""
    config, found = run.config, description.get("calibration")
    settings = asdict(config)
    del settings["output"], settings["data"]["manifest"]  # paths of a machine
    if collection_name(run.record.manifest) != PHANTOM:
        del settings["data"]["phantom_patients"]
    networks = count_of(len(run.members), "network")
    mean = f"The answer is the mean of {networks}, each trained without one part of the data."
    shipped = Calibration.from_dict(found) if found else Calibration(why=(ONE_NETWORK,))
    calibrated = f"The probabilities are not calibrated: {'; '.join(shipped.why)}."
    if shipped.temperatures:
        of = ", ".join(f"{task} {t:g}" for task, t in shipped.temperatures.items())
        calibrated = f"The probabilities are calibrated by temperatures: {of}."
    cuts = ", ".join(f"{cut:g}" for cut in shipped.cuts)
    return {
        "network": _network(config),
        "ensemble": mean if config.is_ensemble else "One network answers.",
        "calibrated": calibrated,
        "level": f"the expected one, cut at {cuts}" if cuts else "the likeliest",
        "settings": yaml.safe_dump(settings, sort_keys=False),
    }


def _network(config: Config) -> str:
    model, sites = config.model, sites_of(config)
    tower = (
        f"3x3 convolutions of {model.conv1} and {model.conv2} channels, each with max-pooling, and "
        f"a fully connected layer of {model.fc}"
    )
    if TRUNK in sites:
        towers = f"One tower for all tasks: {tower}"
    else:
        shared = ", ".join(sites)
        how = f"after {shared} each task takes a learnt share of the other's features"
        towers = f"A tower for each task: {tower}; {how if sites else 'nothing is shared'}"
    flips = " Its answer is the mean over the crop's eight orientations." * model.flips
    return f"Each pixel is normalised by its mean over the training crops. {towers}.{flips}"


def _evidence(run: Run, evidence: Evidence, pictures: Mapping[str, str]) -> dict[str, str]:
    """What is known of its answers: scores, calibration, subgroups, clicks, mistakes."""
    metrics, few = evidence.metrics, f"fewer than {LEAST_PATIENTS} patients"
    if metrics is None:
        none = dict.fromkeys(("results", "calibration", "subgroups", "mistakes"), "Not known.")
        more = f"\n- **No scores**: {evidence.why}."
        return {**none, "part": f"None: {evidence.why}.", "more_warnings": more}
    test, classes = metrics.test, LABEL_SETS[run.config.data.label_set].task_classes
    phantom = "**PHANTOM: the numbers mean nothing medical.** " * (metrics.data == PHANTOM)
    single = (
        "Each crop was answered by the network that was not trained on its part. The exported "
        "model is the mean of all of them and was trained on every part: nobody is left whom it "
        "could be scored on. "
    )
    leak = f"\n- **The scores flatter it**: {metrics.leakage}."
    return {
        "part": f"{phantom}{count_of(test.images, 'crop')} of {count_of(test.nodules, 'nodule')} "
        f"of {count_of(test.patients, 'patient')}: {metrics.part}. "
        f"{single * run.config.is_ensemble}"
        f"Leakage: {metrics.leakage}. Intervals are {100 * COVERAGE:g} %, by bootstrap over "
        f"patients ({RESAMPLES} resamples) with the trained network as it is; a number that rests "
        f"on {few} is not shown. Whether the settings were chosen by scores on these patients, "
        "which would flatter them, is not in the record.",
        "results": card_tables.results(test, classes),
        "calibration": card_tables.calibration(metrics, classes),
        "subgroups": card_tables.subgroups(test),
        "mistakes": _mistakes(run, evidence, pictures),
        "more_warnings": leak if metrics.leakage.leaks else "",
    }


def _mistakes(run: Run, evidence: Evidence, pictures: Mapping[str, str]) -> str:
    """The worst answers about what was held out, as tables and, where they are drawn, pictures."""
    named = is_public(collection_name(run.record.manifest))
    parts = [
        "The nodules that were answered worst, at most one of a patient, the worst first: "
        "malignancy by how many levels, pathology by how improbable the label was."
        + " Patients are not named, since they are of no public collection."
        * (not named)
    ]
    for task, worst in evidence.worst.items():
        if not len(worst):
            parts.append(f"**{task.capitalize()}**: no mistake.")
            continue
        parts.append(f"**{task.capitalize()}**")
        if task in pictures:
            alt = f"The middle slice of each nodule, with its label and answer of {task}"
            parts.append(f"![{alt}]({pictures[task]})")
        parts.append(card_tables.mistakes(worst, task, named))
    if evidence.worst and not pictures:
        there = any(worst.images is not None for worst in evidence.worst.values())
        why = "the crops are not where they were, as they were"
        if there:
            why = "they were not drawn (tools/export.py does; with --pictures also those of a "
            why += "collection that is not public)"
        parts.append(f"No pictures: {why}.")
    return "\n\n".join(parts)


def _clicks(weights: str) -> str:
    """How the answer depends on the place that is named, if that was measured for this model."""
    found = read_json(CLICKS)["results"] if CLICKS.is_file() else {}
    if found.get("weights") == weights:
        rows = found["clicks"]
        return table(list(rows[0]), [[str(cell) for cell in row.values()] for row in rows])
    return (
        "Not measured for this model: how far its answer moves when the point is a few millimetres "
        "off the middle, or when an outline that is found stands in for a reader's, is not known."
    )
