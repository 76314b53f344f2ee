"""What a report says of its model: what it was trained on, and how well it does on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lungdx_paddle.data.labels import PATHOLOGY
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.evaluation.readers import BENIGN_BELOW, MALIGNANT_ABOVE

SCORES: Mapping[str, str] = {
    "accuracy": "nodules that are answered right",
    "within_one": "nodules whose level is one off at most",
    "balanced_accuracy": "nodules that are answered right, each class counting the same",
    "quadratic_kappa": "agreement with the readers, quadratic kappa: 0 chance, 1 full",
    "auc": f"AUC: nodules rated over {MALIGNANT_ABOVE} ranked above those rated under "
    f"{BENIGN_BELOW}; 0.5 chance, 1 all",
    "ece": "gap between stated probability and part that is right (ECE); 0 is best",
}
"""{score by nodule: what it is}, in the order of the page."""

UNSEEN = "patient"
"""The split whose scores are of patients that were not trained on."""

PARTS = ("accuracy", "within_one", "balanced_accuracy")
"""Those that are parts of the nodules, which a page has in percent."""


@dataclass(frozen=True)
class ModelFacts:
    """What an exported model's inference.yml says about it; what it lacks is empty."""

    name: str
    data: str
    """The collection that the model was trained on."""
    split: str
    """By image, nodule or patient."""
    part: str
    """What its scores are of, in words."""
    why: str
    """Why there are no scores."""
    scores: Mapping[str, Mapping[str, Estimate]]
    """{task: {name of :data:`SCORES`: estimate}}."""
    diagnosis: Estimate | None
    """AUC by patient: malignant disease ranked above benign by the expected level."""
    classes: int
    """Of the pathology."""

    @property
    def is_phantom(self) -> bool:
        """Whether it was trained on pictures that a program made up."""
        return self.data.startswith("phantom")

    def ece(self, task: str) -> Estimate | None:
        """The calibration error of a task's probabilities, where it rests on enough patients."""
        found = self.scores.get(task, {}).get("ece")
        return None if found is None or found.too_few else found

    @property
    def ranks_disease(self) -> bool:
        """Whether the level was shown to rank malignant disease of unseen patients above benign."""
        return self.split == UNSEEN and _is_above(self.diagnosis, 0.5)

    @property
    def tells_classes(self) -> bool:
        """Whether the pathology was shown to be better, on unseen patients, than a drawn class."""
        score = self.scores.get(PATHOLOGY, {}).get("balanced_accuracy")
        return self.split == UNSEEN and _is_above(score, 1.0 / self.classes)


def model_facts(described: Mapping[str, Any], tasks: Mapping[str, list[str]]) -> ModelFacts:
    """The facts of an inference.yml, which may lack any, or hold something else in its place.

    Args:
        described: its content.
        tasks: {task: class names} of the model.
    """
    training, scores = (_mapping(described.get(key)) for key in ("training", "scores"))

    def score(task: str, name: str) -> Estimate | None:
        of_tasks = _mapping(scores.get(f"{name}_by_nodule"))
        return _estimate(of_tasks.get(task) or scores.get(f"{task}_{name}_by_nodule"))

    data = str(training.get("data", ""))
    return ModelFacts(
        name=str(described.get("model", "")),
        data="" if data == "unknown" else data,
        split=str(training.get("split", "")),
        part=str(scores.get("part", "")),
        why=str(scores.get("none", "none is recorded")),
        scores={
            task: {name: found for name in SCORES if (found := score(task, name))} for task in tasks
        },
        diagnosis=_estimate(scores.get("diagnosis_auc_by_patient")),
        classes=len(tasks.get(PATHOLOGY, ())),
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _estimate(entry: Any) -> Estimate | None:
    """The estimate that an entry of texts holds; None where it is no such entry."""
    try:
        span = [float(end) for end in entry["interval"] or ()]
        found = Estimate(float(entry["value"]), None, int(entry["patients"]))
    except (TypeError, KeyError, ValueError):
        return None
    return replace(found, interval=(span[0], span[1])) if len(span) == 2 else found


def _is_above(estimate: Estimate | None, chance: float) -> bool:
    if estimate is None or estimate.interval is None or estimate.too_few:
        return False
    return estimate.interval[0] > chance
