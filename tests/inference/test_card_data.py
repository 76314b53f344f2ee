"""The card says of its crops what the record holds, in the words of what they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.inference.card_data import (
    CLASS_FROM,
    OF_THE_PATIENT,
    collection_name,
    data_fields,
    is_public,
)
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import Manifest, ManifestRow
from lungdx_paddle.training.run import Run, load_run


def test_a_collection_is_named_only_where_every_series_is_of_it(
    crop_rows: list[ManifestRow],
) -> None:
    uid, *_ = known_series()
    known = replace(crop_rows[0], series_uid=uid, source="")
    other = replace(crop_rows[0], source="")
    for rows, name, public in (
        (crop_rows, "phantom", True),
        ([known], "LIDC-IDRI", True),
        ([known, other], "unknown", False),
        ([replace(other, source="lidc-slices")], "lidc-slices", False),
    ):
        assert collection_name(Manifest(Path(), tuple(rows))) == name
        assert is_public(name) == public


def test_every_label_set_has_words_for_where_its_classes_come_from() -> None:
    assert {*CLASS_FROM, "none"} == set(LABEL_SETS) and set(OF_THE_PATIENT) <= set(CLASS_FROM)


def changed(run: Run, **values: object) -> Run:
    rows = tuple(replace(row, **values) for row in run.record.rows)  # type: ignore[arg-type]
    return replace(run, record=replace(run.record, rows=rows))


def test_the_crops_are_described_as_they_were_made(run: Path) -> None:
    trained = load_run(run)
    own = data_fields(trained)
    assert own["gray"] == "8 bit, black is -1000 HU and white 1040 HU"
    assert own["spacing"] == "0.70 to 0.70 mm" and own["rule"] == "paper"
    assert "Otsu" in own["cut"] and "Simulated readers" in own["raters"]
    assert "| patients | 8 |" in own["data_table"] and "| nodules | 16 |" in own["data_table"]
    assert own["levels"].startswith("level 1: 3, level 2: 4, level 3: 4,")
    context = data_fields(changed(trained, crop="context", hu_from="stretched"))
    assert "32 mm" in context["cut"] and "cannot read a CT" in context["window"]


@pytest.mark.parametrize(
    ("method", "words"), [(2, "biopsy: 3; 3 of 3 from tissue"), (None, "is not in the record")]
)
def test_how_the_diagnoses_were_made(run: Path, method: int | None, words: str) -> None:
    fields = data_fields(changed(load_run(run), diagnosis_method=method))
    assert words in fields["reference_pathology"]


def test_lidc_is_described_by_its_scanners_and_slices(run: Path) -> None:
    uid, facts = next(iter(known_series().items()))
    fields = data_fields(changed(load_run(run), series_uid=uid, source="lidc"))
    assert fields["collection"].startswith("LIDC-IDRI: 1018 CT series of 1010 patients")
    assert f"{facts.manufacturer}: 1; " in fields["scanners"]
    assert fields["thickness"].startswith(f"{facts.slice_thickness_mm:g} to ")
