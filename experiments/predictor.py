"""A trained predictor's scores on patients it has not seen, its baselines and the readers beside.

The runs are one recipe, such as best.yaml, with one seed or several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import record
from record import Results
from spread import over_seeds, shown, table

from lungdx_paddle.commands import cli

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

TITLES = {
    "accuracy": "five-class accuracy",
    "within_one": "within one level",
    "quadratic_kappa": "quadratic kappa",
    "auc": "AUC, rated < 2.5 against > 3.5",
}
"""Scores with another name in the docs than in ``metrics.json``."""


def measure(runs: Sequence[Run]) -> Results:
    """All scores of ``metrics.json``, over seeds, and ``part``: which crops were scored."""
    scores: dict[str, Any] = over_seeds([run.metrics.test.to_dict() for run in runs])
    return {**scores, "part": over_seeds([run.metrics.part for run in runs])}


def nodules(results: Results) -> str:
    """Malignancy by nodule: the network, what is simpler, and the readers."""
    own = results["nodule"]["malignancy"]
    commonest = {"accuracy": own["baseline_accuracy"]}
    systems = _systems(results, own, commonest)
    keys = [key for key in own if _is_estimate(own[key]) and key != "ece"]
    head = [f"{results['nodules']} nodules", *(TITLES.get(k, k.replace("_", " ")) for k in keys)]
    return table(
        head, [[name, *(shown(s.get(key)) for key in keys)] for name, s in systems.items()]
    )


def diagnosis(results: Results) -> str:
    """Benign against malignant patients by their most suspicious nodule."""
    systems = _systems(results, results, {})
    rows = [
        [name, shown(s["diagnosis_auc"]), shown(s["diagnosis_auc"]["patients"], 0)]
        for name, s in systems.items()
        if "diagnosis_auc" in s
    ]
    return table(["benign against malignant diagnosis", "AUC", "patients"], rows)


def _systems(
    results: Results, network: Mapping[str, Any], commonest: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """{name: its scores}, as far as ``metrics.json`` has them."""
    baselines = {n.replace("_", " "): s for n, s in results.get("baselines", {}).items()}
    return {
        "the network": network,
        "always the commonest class": commonest,
        **baselines,
        "each reader against the others": results["readers"],
    }


def _is_estimate(value: Any) -> bool:
    return isinstance(value, Mapping) and "interval" in value


main = record.command(__doc__, "python experiments/predictor.py --run output/best", measure)

if __name__ == "__main__":
    cli.run(main)
