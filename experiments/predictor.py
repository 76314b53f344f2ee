"""A predictor's scores on patients it has not seen, what is simpler, and the readers beside it.

The runs are trainings of one recipe, such as best.yaml, with one seed or several.
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
    "mae": "mean absolute error",
    "ece": "expected calibration error",
    "rps": "ranked probability score",
    "auc": "AUC, rated < 2.5 against > 3.5",
    "reader": "a reader",
    "difference": "network - reader",
    "level": "the network's malignancy",
    "readers": "the readers' mean rating",
    "pathology": "the network's pathology",
}
"""Words of ``metrics.json`` that the docs replace, beside ``_`` by a space."""


def measure(runs: Sequence[Run]) -> Results:
    """All scores of ``metrics.json``, over seeds, and ``part``: which crops were scored."""
    scores: dict[str, Any] = over_seeds([run.metrics.test.to_dict() for run in runs])
    before = [run.metrics.uncalibrated for run in runs]
    raw = [of.to_dict()["nodule"]["malignancy"] for of in before if of is not None]
    return {
        **scores,
        "part": over_seeds([run.metrics.part for run in runs]),
        **({"uncalibrated": over_seeds(raw)} if len(raw) == len(runs) else {}),
    }


def nodules(results: Results) -> str:
    """Malignancy by nodule: the network and each baseline."""
    rows = {"the network": results["nodule"]["malignancy"]}
    for name, baseline in results.get("baselines", {}).items():
        rows[name] = baseline.get("nodule", {}).get("malignancy", {})
    return _estimates(f"{shown(results['nodules'])} nodules", rows)


def calibration(results: Results) -> str:
    """Malignancy by nodule: the likeliest class as the networks say it, and after calibration."""
    before, after = results["uncalibrated"], results["nodule"]["malignancy"]
    keys = ("accuracy", "within_one", "quadratic_kappa", "mae", "ece")
    rows = [[TITLES.get(key, key), shown(before[key]), shown(after[key])] for key in keys]
    return table(["malignancy by nodule", "likeliest class, no temperature", "calibrated"], rows)


def gains(results: Results) -> str:
    """What the network adds to each baseline, malignancy by nodule."""
    baselines = results["baselines"].items()
    return _estimates("network minus", {name: b.get("gain", {}) for name, b in baselines})


def readers(results: Results) -> str:
    """Network and readers by one yardstick: the median of the nodule's other readers."""
    rows = {name: results["readers"][name] for name in ("network", "reader", "difference")}
    return _estimates(f"{shown(results['readers']['comparisons'])} comparisons", rows)


def diagnosis(results: Results) -> str:
    """AUC of benign patients against others, by what ranks them."""
    found = results["diagnosis"]
    ranked = list(dict.fromkeys(by for aucs in found.values() for by in aucs))
    rows = {by: {name: aucs[by] for name, aucs in found.items() if by in aucs} for by in ranked}
    for name, baseline in results.get("baselines", {}).items():
        aucs = baseline.get("diagnosis", {}).items()
        rows[name] = {other: by["level"] for other, by in aucs}
    patients = {n: shown(next(iter(aucs.values()))["patients"]) for n, aucs in found.items()}
    return _estimates(
        "benign against", rows, {n: f"{n}, {p} patients" for n, p in patients.items()}
    )


def subgroups(results: Results, question: str) -> str:
    """Malignancy by nodule in each group of ``manufacturer``, ``slice_thickness_mm``, ..."""
    groups = results["subgroups"][question].items()
    rows = {f"{name}, {shown(scores['labelled'])} nodules": scores for name, scores in groups}
    return _estimates(question.replace("_", " "), rows)


def _estimates(
    corner: str, rows: Mapping[str, Mapping[str, Any]], titles: Mapping[str, str] = TITLES
) -> str:
    """A table of all numbers with an interval that a row has, but for the calibration's."""
    keys = dict.fromkeys(
        key
        for scores in rows.values()
        for key, value in scores.items()
        if isinstance(value, Mapping) and "interval" in value and key != "ece"
    )
    head = [corner, *(titles.get(key, key.replace("_", " ")) for key in keys)]
    cells = [
        [TITLES.get(name, name.replace("_", " ")), *(shown(scores.get(key)) for key in keys)]
        for name, scores in rows.items()
    ]
    return table(head, cells)


main = record.command(__doc__, "python experiments/predictor.py --run output/best", measure)

if __name__ == "__main__":
    cli.run(main)
