"""How a run ranks benign against malignant under each label set of the diagnosis table.

Its out-of-fold answers stay as they are: only which nodules and patients count, and as what,
differs.  Needs the diagnosis table in the folder that LUNGDX_LIDC names.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import record
from record import Results
from spread import shown, table

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import LABEL_SETS, PATHOLOGY, with_patient_nodules

if TYPE_CHECKING:
    from lungdx_paddle.training.run import Run

TABLE = "tcia-diagnosis-data-2012-04-20.xls"
SETS = ("binary", "binary_certain", "tissue_proven", "benign_primary", "benign_metastatic")
BY = {
    "level": "the network's malignancy",
    "pathology": "the network's pathology",
    "readers": "the readers' mean rating",
}


def measure(runs: Sequence[Run]) -> Results:
    """``{label set: {"nodules": {by: AUC}, "patients": {by: AUC}}}``; by is a key of ``BY``."""
    from lungdx_paddle.evaluation.intervals import auc_estimate
    from lungdx_paddle.lidc import read_diagnoses
    from lungdx_paddle.manifest import read_manifest
    from lungdx_paddle.preprocess.crop_files import with_diagnoses
    from lungdx_paddle.training.held_out import scored_predictions

    (run,) = runs
    known = read_diagnoses(Path(os.environ["LUNGDX_LIDC"]) / TABLE).by_patient
    rows = list(with_diagnoses(read_manifest(run.config.data.manifest).rows, known))
    used = [row for row in rows if row.readers >= run.config.data.min_readers]
    row_of = {row.nodule_key: row for row in with_patient_nodules(used)}
    nodules = scored_predictions(run).pooled("nodule")
    own = [row_of[row.nodule_key] for row in nodules.rows]
    malignant = nodules.label_set.classes.index("malignant")
    scores = {
        "level": nodules.expected_levels,
        "pathology": nodules.probabilities[PATHOLOGY][:, malignant],
        "readers": np.array([np.mean(row.malignancy_ratings or (3,)) for row in own]),
    }
    results: dict[str, Any] = {}
    for name in SETS:
        classes = np.array([LABEL_SETS[name].classify(row) for row in own])
        chosen = np.flatnonzero(classes >= 0)
        patients = [own[i].patient_id for i in chosen]
        entry: dict[str, Any] = {"nodules": {}, "patients": {}}
        for by, values in scores.items():
            found = auc_estimate(classes[chosen] == 1, values[chosen], patients)
            entry["nodules"][by] = found.to_dict()
            highest: dict[tuple[str, bool], float] = {}
            for i, patient in zip(chosen, patients):
                key = patient, bool(classes[i] == 1)
                highest[key] = max(float(values[i]), highest.get(key, -np.inf))
            truth = np.array([positive for _, positive in highest])
            names = [patient for patient, _ in highest]
            estimate = auc_estimate(truth, np.array(list(highest.values())), names)
            entry["patients"][by] = estimate.to_dict()
        results[name] = entry
    return results


def aucs(results: Results) -> str:
    """AUC by patient, by its most suspicious nodule, under each label set."""
    rows = []
    for name, entry in results.items():
        counts = entry["patients"]["level"]
        nodules = entry["nodules"]["level"]
        sides = [f"{of['benign']} + {of['malignant']}" for of in (counts, nodules)]
        cells = [shown(entry["patients"][by]) for by in BY]
        rows.append([f"`{name}`", *sides, *cells])
    head = ["label set", "patients, benign + malignant", "nodules"]
    return table([*head, *(f"AUC by {text}" for text in BY.values())], rows)


main = record.command(__doc__, "python experiments/label_sets.py --run output/best", measure)

if __name__ == "__main__":
    cli.run(main)
