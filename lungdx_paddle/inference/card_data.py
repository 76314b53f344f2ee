"""What a model card says of the crops that a run was trained on, and of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from lungdx_paddle.data.labels import LABEL_SETS, MALIGNANCY, PATHOLOGY, TISSUE
from lungdx_paddle.inference.card_tables import table
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.diagnosis import METHODS
from lungdx_paddle.manifest import CROP_SIZE, Manifest, ManifestRow
from lungdx_paddle.manifest_cells import SPACING_MM, STRETCHED
from lungdx_paddle.preprocess.crop import CONTEXT, CONTEXT_MM, SMALLEST_AREA_PX
from lungdx_paddle.training.run import Run
from lungdx_paddle.words import count_of

LIDC, PHANTOM = "LIDC-IDRI", "phantom"

CLASS_FROM = {
    "paper6": "code and free text of the patient's diagnosis, in the paper's six classes",
    "tcia4": "the code of the patient's diagnosis",
    "binary": "the patient's diagnosis, primary and metastatic cancer as malignant",
    "binary_certain": "the nodules' own diagnoses, where each of the patient's has one and they "
    "agree",
    "tissue_proven": "the diagnosis, where it was found by biopsy or resection",
    "benign_primary": "the patient's diagnosis, benign or primary cancer",
    "benign_metastatic": "the patient's diagnosis, benign or metastatic cancer",
}
"""{label set: where a nodule's pathology class comes from}."""

OF_THE_PATIENT = ("paper6", "tcia4", "binary", "benign_primary", "benign_metastatic")
"""Label sets that give the patient's diagnosis to all of the patient's nodules."""


def collection_name(crops: Manifest) -> str:
    """``phantom``, ``LIDC-IDRI`` where every series is one of its, else what the manifest says."""
    if crops.source == PHANTOM:
        return PHANTOM
    if all(row.series_uid in known_series() for row in crops.rows):
        return LIDC
    return crops.source or "unknown"


def is_public(collection: str) -> bool:
    """Whether its patients' IDs are public pseudonyms, which may be written beside a picture."""
    return collection in (LIDC, PHANTOM)


def data_fields(run: Run) -> dict[str, str]:
    """The template's fields about crops, collection and labels."""
    return {**_crops(run), **_collection(run), **_labels(run)}


def _crops(run: Run) -> dict[str, str]:
    """How a crop is made: the rule, the window, the extent."""
    manifest = run.record.manifest
    rule, (center, width) = manifest.crop_rules[0], manifest.rows[0].window
    stretched = manifest.grays == [STRETCHED]
    spacing = [row.pixel_spacing_mm for row in manifest.rows]
    black, white = center - width / 2, center + width / 2
    hu = f"black is {black:g} HU and white {white:g} HU"
    return {
        "rule": rule,
        "gray": "each picture stretched from black to white: no HU"
        if stretched
        else f"8 bit, {hu}",
        "spacing": f"{min(spacing):.2f} to {max(spacing):.2f} mm",
        "legal_spacing": "{:g} to {:g} mm".format(*SPACING_MM),
        "min_readers": str(run.config.data.min_readers),
        "crop_extent": f"a square of {CONTEXT_MM:g} mm; of a larger nodule it sees the middle"
        if rule == CONTEXT
        else f"the outline on black; one of more than {CROP_SIZE} pixels is shrunk",
        "place": "The nodule's place: its outline, or a point in it."
        if rule == CONTEXT
        else "The nodule's outline: the readers', or one that is looked for about a point, which "
        "is another picture than a reader's.",
        "cut": f"On each slice a square of {CONTEXT_MM:g} mm about its middle, averaged to "
        f"{CROP_SIZE}x{CROP_SIZE} pixels."
        if rule == CONTEXT
        else "On each slice the outline's rectangle, Otsu's threshold inside it, areas under "
        f"{SMALLEST_AREA_PX} pixels removed, black around it to {CROP_SIZE}x{CROP_SIZE} pixels.",
        "window": "Each picture is stretched from its darkest to its brightest pixel: the model "
        "cannot read a CT."
        if stretched
        else f"Gray values of 8 bit: {hu}, linear between them.",
    }


def _collection(run: Run) -> dict[str, str]:
    """Where the crops come from: collection, scanners, numbers."""
    rows, collection, known = run.record.rows, collection_name(run.record.manifest), known_series()
    uids = sorted({row.series_uid for row in rows})
    facts = [known[uid] for uid in uids if uid in known]
    thickness = [of.slice_thickness_mm for of in facts]
    makers = Counter(of.manufacturer or "unknown" for of in facts)
    missing = f", unknown of {len(uids) - len(facts)} series" if len(facts) < len(uids) else ""
    patients = len({of.patient_id for of in known.values()})
    what = {
        PHANTOM: "A phantom, made by a program: no patients and no scans.",
        LIDC: f"LIDC-IDRI: {len(known)} CT series of {patients} patients, for screening and "
        "diagnosis, gathered by seven academic centres in the United States and eight companies "
        "(Armato et al. 2011). Of these, what the table counts was used.",
    }
    described = f"Source, as the manifest has it: {collection}. No more is recorded of it."
    nodules = {row.nodule_key for row in rows}
    ratings = Counter(len(row.malignancy_ratings) for row in _one_a_nodule(rows))
    counts = {
        "patients": str(len({row.patient_id for row in rows})),
        "CT series": str(len(uids)),
        "nodules": str(len(nodules)),
        "crops": f"{len(rows)}, of slices that at least "
        f"{count_of(run.config.data.min_readers, 'reader')} outlined",
        "nodules by their number of ratings": _counted(sorted(ratings.items())),
    }
    return {
        "collection": what.get(collection, described),
        "data_table": table(["trained on", ""], counts.items()),
        "thickness": f"{min(thickness):g} to {max(thickness):g} mm in training{missing}"
        if facts
        else "unknown in training",
        "scanners": f"series in training: {_counted(makers.most_common())}{missing}; the rest "
        "is not in the record"
        if facts
        else "not in the record",
    }


def _labels(run: Run) -> dict[str, str]:
    """How labels came about, and how many there are of each class."""
    rows, collection = run.record.rows, collection_name(run.record.manifest)
    label_set = LABEL_SETS[run.config.data.label_set]
    counts: dict[str, Counter[str]] = {}
    labelled: dict[str, int] = {}
    for task, names in label_set.task_classes.items():
        labels = run.record.labels[task].tolist()
        of_nodule = {row.nodule_key: label for row, label in zip(rows, labels) if label >= 0}
        counts[task] = Counter({name: 0 for name in names})
        counts[task].update(names[label] for label in of_nodule.values())
        labelled[task] = len({patient for patient, _ in of_nodule})
    by_program = "Simulated readers of a program gave them."
    by_radiologists = (
        "Up to four radiologists read each scan, first alone and then with the others' marks in "
        "view; they are anonymous, and others in each scan."
    )
    raters = {PHANTOM: by_program, LIDC: by_radiologists}
    fields = {
        "levels": _counted((f"level {name}", n) for name, n in counts[MALIGNANCY].items()),
        "classes": "",
        "raters": raters.get(collection, "Who the readers were is not recorded."),
        "reference_pathology": "",
    }
    if PATHOLOGY in counts:
        patients = count_of(labelled[PATHOLOGY], "patient")
        classes = _counted(counts[PATHOLOGY].items())
        fields["classes"] = f" Pathology of the nodules of {patients} with a label: {classes}."
        every = "; each nodule of a patient has it" * (label_set.name in OF_THE_PATIENT)
        fields["reference_pathology"] = (
            f"- **Pathology** (`{label_set.name}`). From {CLASS_FROM[label_set.name]}{every}. "
            f"{_methods(rows, run.record.labels[PATHOLOGY])}"
        )
    return fields


def _methods(rows: Sequence[ManifestRow], labels: np.ndarray) -> str:
    """How the labelled patients were diagnosed."""
    found = {row.patient_id: row.diagnosis_method for row, label in zip(rows, labels) if label >= 0}
    if not any(method is not None for method in found.values()):
        return "How the patients were diagnosed is not in the record."
    tissue = sum(method in TISSUE for method in found.values())
    names = Counter("not recorded" if m is None else METHODS[m] for m in found.values())
    ways = _counted(names.most_common())
    return f"Patients by method: {ways}; {tissue} of {len(found)} from tissue."


def _one_a_nodule(rows: Iterable[ManifestRow]) -> Iterable[ManifestRow]:
    return {row.nodule_key: row for row in rows}.values()


def _counted(counts: Iterable[tuple[object, int]]) -> str:
    return ", ".join(f"{what}: {number}" for what, number in counts)
