"""How many patients, nodules and crops each label set has: tables of docs/explanation/labels.md.

They are counted from the diagnosis table, the crops that data.min_readers leaves, and nodules.csv,
which tools/preprocess.py --annotations-only makes of all XML files.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lungdx_paddle.commands import cli
from lungdx_paddle.data.labels import (
    BENIGN,
    LABEL_SETS,
    PATHOLOGY,
    PRIMARY,
    UNKNOWN,
    UNLABELLED,
    labels_of,
    with_patient_nodules,
)
from lungdx_paddle.files import read_text, write_text
from lungdx_paddle.lidc import Diagnosis, read_diagnoses
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.diagnosis import METHODS
from lungdx_paddle.manifest import Manifest, ManifestRow, read_rows
from lungdx_paddle.preprocess.crop_files import with_diagnoses
from lungdx_paddle.settings import DataConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "labels.md"
MARK = re.compile(r"(<!-- labels: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
READERS = DataConfig().min_readers

FEW = 10
"""Patients that are named."""

Diagnoses = Mapping[str, Diagnosis]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table whose first column is text."""
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "".join(f"| {' | '.join(map(str, cells))} |\n" for cells in lines)


def by_method(known: Diagnoses) -> str:
    """Patients and listed nodules, by how they were diagnosed."""
    patients = Counter((own.method, own.code) for own in known.values())
    nodules = Counter(m for own in known.values() for m in own.nodule_methods)
    counts = {m: [patients[m, code] for code in range(4)] for m in METHODS}
    rows = {text: [sum(counts[m]), *counts[m], nodules[m]] for m, text in METHODS.items()}
    rows["all"] = [sum(numbers) for numbers in zip(*rows.values())]
    head = ["method", "patients", *LABEL_SETS["tcia4"].classes, "nodules listed"]
    return table(head, ([text, *numbers] for text, numbers in rows.items()))


def of_nodules(known: Diagnoses) -> str:
    """How nodules' diagnoses go with their patients'."""
    rows: list[tuple[str, object]] = []
    for text, fits in (
        ("no nodule is listed", lambda own: not own.nodule_codes),
        ("one nodule", lambda own: len(own.nodule_codes) == 1),
        ("several nodules", lambda own: len(own.nodule_codes) > 1),
        (
            "malignant, with a benign nodule",
            lambda o: o.code >= PRIMARY and BENIGN in o.nodule_codes,
        ),
        ("known, a nodule is unknown", lambda o: o.code and UNKNOWN in o.nodule_codes),
        ("a nodule of another method", lambda own: set(own.nodule_methods) - {own.method}),
    ):
        found = [patient for patient, own in known.items() if fits(own)]
        names = f" ({', '.join(p.removeprefix('LIDC-IDRI-') for p in found)})"
        rows.append((text, f"{len(found)}{names if len(found) < FEW else ''}"))
    return table(["the table's patients", "number"], rows)


def label_sets(known: Diagnoses, crops: Sequence[ManifestRow], nodules: Counter[str]) -> str:
    """Each label set: patients of the whole table; patients, nodules and crops that are used."""
    stub = replace(crops[0], diagnosis=None, primary_site="", nodule=0)
    everybody = with_diagnoses([replace(stub, patient_id=p, image=p) for p in known], known)
    whole = [replace(row, patient_nodules=nodules[row.patient_id]) for row in everybody]
    rows = []
    for name, label_set in LABEL_SETS.items():
        counted = [labels_of(Manifest(Path(), tuple(r)), label_set) for r in (whole, crops)]
        for k, text in enumerate(label_set.classes):
            in_table, used = ((of[PATHOLOGY] == k).nonzero()[0] for of in counted)
            found = [crops[i] for i in used]
            patients = len({row.patient_id for row in found})
            of_class = (patients, len({row.nodule_key for row in found}), len(found))
            rows.append([f"`{name}`: {text}", len(in_table), *of_class])
    return table(["label set", "patients of the table", "patients", "nodules", "crops"], rows)


def own_diagnoses(crops: Sequence[ManifestRow]) -> str:
    """How far the crops with a binary label have a diagnosis of their own nodule."""
    labels = labels_of(Manifest(Path(), tuple(crops)), LABEL_SETS["binary"])[PATHOLOGY]
    used = [row for row, label in zip(crops, labels) if label != UNLABELLED]
    nodules: dict[str, set[int]] = {}
    for row in used:
        nodules.setdefault(row.patient_id, set()).add(row.nodule)
    listed = {row.patient_id: len(row.nodule_diagnoses) for row in used}
    single = {p for p, own in nodules.items() if len(own) == listed[p] == 1}
    beyond = sum(max(0, len(own) - listed[p]) for p, own in nodules.items())
    others = [row for row in used if row.patient_id not in single]
    rows = [
        ["all with a `binary` label", len(nodules), sum(map(len, nodules.values())), len(used)],
        ["one nodule, and one listed", len(single), len(single), len(used) - len(others)],
        ["others", len(nodules) - len(single), len({r.nodule_key for r in others}), len(others)],
        ["more nodules than listed", "", beyond, ""],
    ]
    return table(["crops that are used", "patients", "nodules", "crops"], rows)


def parts(manifest: Path, diagnosis: Path, nodules: Counter[str]) -> dict[str, str]:
    """Every table of the page.

    Args:
        manifest: of the crops.
        diagnosis: the table.
        nodules: of each patient, as many as ``READERS`` readers or more outlined.
    """
    known = read_diagnoses(diagnosis).by_patient
    rows = with_diagnoses(read_rows(manifest), known)
    crops = with_patient_nodules([row for row in rows if row.readers >= READERS])
    return {
        "by_method": by_method(known),
        "of_nodules": of_nodules(known),
        "label_sets": label_sets(known, crops, nodules),
        "own_diagnoses": own_diagnoses(crops),
    }


def page(made: Mapping[str, str]) -> str:
    """The page with these tables."""
    return MARK.sub(lambda mark: f"{mark[1]}\n{made[mark[2]]}\n{mark[3]}", read_text(PAGE))


def main(argv: Sequence[str] | None = None) -> None:
    """Write the tables into the page."""
    example = (
        "python experiments/label_counts.py --manifest crops --nodules nodules/nodules.csv "
        "--diagnosis tcia-diagnosis-data-2012-04-20.xls"
    )
    parser = cli.parser(__doc__, example)
    for name in ("manifest", "diagnosis", "nodules"):
        parser.add_argument(f"--{name}", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(argv)
    with open(options.nodules, encoding="utf-8", newline="") as file:
        uids = [row["series_uid"] for row in csv.DictReader(file) if int(row["readers"]) >= READERS]
    nodules = Counter(known_series()[uid].patient_id for uid in uids)
    write_text(PAGE, page(parts(options.manifest, options.diagnosis, nodules)))
    cli.say(f"written to {PAGE}")


if __name__ == "__main__":
    cli.run(main)
