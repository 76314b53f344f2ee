"""Classes follow the documented rules, and the site table is complete and reasoned."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path

import pytest

from lungdx_paddle.data.labels import (
    LABEL_SETS,
    PAPER6,
    labels_of,
    malignancy_class,
    site_classes,
    with_patient_nodules,
)
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest
from lungdx_paddle.settings import DataConfig

TABLE = Path(__file__).parents[2] / "lungdx_paddle" / "data" / "site_classes.csv"


@pytest.mark.parametrize(
    ("ratings", "expected"),
    [((5, 5, 5, 4), 4), ((1,), 0), ((2, 3), 2), ((1, 2, 4, 5), 2), ((1, 2), 1), ((), -1)],
)
def test_malignancy_is_the_median_with_halves_rounded_up(
    ratings: tuple[int, ...], expected: int
) -> None:
    assert malignancy_class(ratings) == expected


@pytest.mark.parametrize(
    ("code", "site", "paper6", "tcia4", "binary"),
    [
        (None, "", -1, -1, -1),
        (0, "colon", -1, 0, -1),
        (1, "", 0, 1, 0),
        (1, "melanoma", 0, 1, 0),
        (1, "Organizing pneumonia, also leukemia", 3, 1, 0),
        (1, "Lymphoma", 0, 1, 0),  # a benign nodule of a patient with a lymphoma
        (0, "lymphoma", 4, 0, -1),
        (2, "Lung  Cancer", 1, 2, 1),
        (2, "", 1, 2, 1),
        (2, "LUL NSCLC", 2, 2, 1),
        (2, "Adenocarcinoma", 2, 2, 1),
        (2, "RUL Squamous cell stage 1A", 5, 2, 1),
        (3, "neck - squamous", -1, 3, 1),  # squamous, but not of the lung
        (3, "colon cancer", -1, 3, 1),
        (3, "lung cancer", 1, 3, 1),
    ],
)
def test_pathology_follows_code_and_site(
    crop_rows: list[ManifestRow],
    code: int | None,
    site: str,
    paper6: int,
    tcia4: int,
    binary: int,
) -> None:
    row = replace(crop_rows[0], diagnosis=code, primary_site=site)
    found = [LABEL_SETS[name].classify(row) for name in ("paper6", "tcia4", "binary")]
    assert found == [paper6, tcia4, binary]
    kinds = [LABEL_SETS[f"benign_{kind}"].classify(row) for kind in ("primary", "metastatic")]
    assert kinds == {1: [0, 0], 2: [1, -1], 3: [-1, 1]}.get(code or 0, [-1, -1])


@pytest.mark.parametrize(
    ("codes", "nodules", "expected"),
    [
        ((1,), 1, 0),
        ((2,), 1, 1),
        ((2, 3), 2, 1),
        ((1, 1), 2, 0),
        ((), 1, -1),  # the patient's diagnosis alone
        ((2,), 2, -1),  # which of the two is meant?
        ((2, 2), 1, -1),
        ((1, 2), 2, -1),
        ((0,), 1, -1),
        ((2, 0), 2, -1),
    ],
)
def test_a_nodule_is_certain_where_each_has_a_diagnosis_and_all_agree(
    crop_rows: list[ManifestRow], codes: tuple[int, ...], nodules: int, expected: int
) -> None:
    rows = [replace(row, diagnosis=2, nodule_diagnoses=codes) for row in crop_rows[:10]]
    rows = [replace(row, nodule=row.nodule % nodules) for row in rows]
    manifest = Manifest(Path(), tuple(rows))
    found = labels_of(manifest, LABEL_SETS["binary_certain"])["pathology"]
    assert set(found.tolist()) == {expected}


@pytest.mark.parametrize(
    ("code", "method", "codes", "methods", "expected"),
    [
        (2, 2, (), (), 1),
        (1, 3, (), (), 0),
        (1, 1, (), (), -1),  # two years without change
        (2, None, (), (), -1),
        (0, 2, (), (), -1),
        (2, 3, (1,), (), 1),  # a table without methods of nodules
        (1, 1, (1,), (2,), 0),
        (3, 2, (3,), (4,), -1),  # another tumour's biopsy; the nodule was seen to grow
        (3, 2, (3, 3), (2, 3), 1),
        (3, 2, (3, 3), (2, 4), -1),
        (3, 2, (3, 0), (2, 0), -1),
        (3, 2, (3, 1), (2, 2), -1),
    ],
)
def test_tissue_is_of_all_listed_nodules_or_of_the_patient(
    crop_rows: list[ManifestRow],
    code: int,
    method: int | None,
    codes: tuple[int, ...],
    methods: tuple[int, ...],
    expected: int,
) -> None:
    row = replace(crop_rows[0], diagnosis=code, diagnosis_method=method)
    row = replace(row, nodule_diagnoses=codes, nodule_methods=methods)
    assert LABEL_SETS["tissue_proven"].classify(row) == expected


def test_the_nodules_of_a_part_are_those_that_were_counted_before(
    crop_rows: list[ManifestRow],
) -> None:
    rows = [replace(row, nodule_diagnoses=(2,)) for row in crop_rows]
    counted = with_patient_nodules(rows)
    assert {row.patient_nodules for row in counted} == {2}
    part = Manifest(Path(), tuple(row for row in counted if row.nodule == 0))
    assert set(labels_of(part, LABEL_SETS["binary_certain"])["pathology"].tolist()) == {-1}
    assert with_patient_nodules(crop_rows) == tuple(crop_rows)  # where no nodule has a diagnosis


def test_every_label_set_can_be_chosen() -> None:
    (setting,) = [f for f in fields(DataConfig) if f.name == "label_set"]
    assert setting.metadata["choices"] == tuple(LABEL_SETS)


def test_without_pathology_classes_malignancy_is_the_only_task(
    crop_rows: list[ManifestRow],
) -> None:
    manifest, alone, both = (
        Manifest(Path(), tuple(crop_rows)),
        LABEL_SETS["none"],
        LABEL_SETS["binary"],
    )
    assert list(alone.task_classes) == ["malignancy"]
    assert list(both.task_classes) == ["malignancy", "pathology"]
    found = labels_of(manifest, alone)
    assert list(found) == ["malignancy"]
    assert found["malignancy"].tolist() == labels_of(manifest, both)["malignancy"].tolist()


def test_every_row_of_the_site_table_has_a_known_class_or_none_and_a_reason() -> None:
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        assert row["class"] in ("", *PAPER6), row
        assert row["reason"], row
        assert row["primary_site"] == " ".join(row["primary_site"].lower().split()), row
    assert len({row["primary_site"] for row in rows}) == len(rows)
    assert site_classes() == {row["primary_site"]: row["class"] for row in rows}


@pytest.mark.lidc
def test_the_table_knows_every_text_of_the_real_diagnoses(lidc32: Path) -> None:
    sites = {row.primary_site for row in read_manifest(lidc32).rows if row.primary_site}
    known = set(site_classes())
    assert {s for s in sites if " ".join(s.lower().split()) not in known} == set()


@pytest.mark.lidc
def test_real_counts_of_each_class(lidc32: Path) -> None:
    manifest = read_manifest(lidc32)
    rows = tuple(row for row in manifest.rows if row.readers >= 3)
    labels = labels_of(Manifest(manifest.folder, rows), LABEL_SETS["paper6"])
    assert Counter(labels["malignancy"].tolist()) == {0: 535, 1: 407, 2: 2240, 3: 1550, 4: 1332}
    pathology = Counter(labels["pathology"].tolist())
    del pathology[-1]
    # The paper counts 120, 118, 173, 138, 126, 113: pneumonia and lymphoma cannot be reached.
    assert pathology == {0: 105, 1: 138, 2: 394, 3: 8, 4: 19, 5: 34}
