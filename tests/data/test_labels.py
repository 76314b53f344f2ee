"""Classes follow the documented rules, and the site table is complete and reasoned."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from lungdx_paddle.data.labels import (
    LABEL_SETS,
    PAPER6,
    labels_of,
    malignancy_class,
    pathology_class,
    site_classes,
)
from lungdx_paddle.manifest import Manifest, ManifestRow, read_manifest

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
    code: int | None, site: str, paper6: int, tcia4: int, binary: int
) -> None:
    found = [pathology_class(code, site, LABEL_SETS[s]) for s in ("paper6", "tcia4", "binary")]
    assert found == [paper6, tcia4, binary]


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
