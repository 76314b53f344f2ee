"""A manifest that was made before, or without a diagnosis table, takes up what the table says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.commands.preprocess_scans import main
from lungdx_paddle.data.labels import LABEL_SETS, labels_of
from lungdx_paddle.errors import LidcError, ManifestError
from lungdx_paddle.manifest import Manifest, read_manifest
from lungdx_paddle.preprocess.diagnosed import add_diagnoses

HEADER = (
    "patient_id,diagnosis,diagnosis_method,primary_site,"
    "nodule_1_diagnosis,nodule_1_method,nodule_2_diagnosis,nodule_2_method\n"
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """P00 was benign without a method; P01 had no diagnosis; Q is nobody's."""
    path = tmp_path / "table.csv"
    rows = "P00,1,1,,1,1,,\nP01,3,2,colon,3,2,3,4\nP02,1,3,,,,,\nQ,1,1,,,,,\n"
    path.write_text(HEADER + rows, encoding="utf-8")
    return path


def test_the_table_is_joined_by_patient_and_the_crops_are_copied(
    tmp_path: Path,
    table: Path,
    write_crops: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    manifest = write_crops(patients=8)
    words = ["--manifest", str(manifest), "--diagnosis", str(table), "--out", str(tmp_path / "o")]
    main(words)
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        "80 crops of 8 patients: 3 diagnosed, 2 by nodule",
        "the table's diagnosis replaces another of 1 patient: P02",
        f"{table}: 1 ID of 4 is no patient's here: Q",
        f"written to {tmp_path / 'o'}",
    ]
    before, after = read_manifest(manifest).rows, read_manifest(tmp_path / "o").rows
    for old, new, path in zip(before, after, read_manifest(tmp_path / "o").image_paths()):
        assert (new.image, new.nodule, new.readers) == (old.image, old.nodule, old.readers)
        assert path.read_bytes() == (manifest.parent / old.image).read_bytes()
        if new.patient_id == "P01":
            assert (new.diagnosis, new.primary_site, new.diagnosis_method) == (3, "colon", 2)
            assert (new.nodule_diagnoses, new.nodule_methods) == ((3, 3), (2, 4))
        if new.patient_id not in ("P00", "P01", "P02"):
            assert new == old


def test_the_labels_of_a_manifest_that_was_there(
    table: Path, write_crops: Callable[..., Path]
) -> None:
    manifest = write_crops(patients=8)
    done = add_diagnoses(manifest, table, manifest.parent)  # in place
    assert (done.crops, done.diagnosed, done.of_nodules, done.changed) == (80, 3, 2, ("P02",))
    rows = read_manifest(manifest).rows
    labels = {
        name: labels_of(Manifest(manifest.parent, rows), LABEL_SETS[name])["pathology"]
        for name in ("binary_certain", "tissue_proven")
    }
    by_patient = {
        name: {row.patient_id: int(label) for row, label in zip(rows, of) if label >= 0}
        for name, of in labels.items()
    }
    # Each has two nodules: P00's one diagnosis is of either, P01's two are of both.
    assert by_patient == {"binary_certain": {"P01": 1}, "tissue_proven": {"P02": 0}}


def test_what_is_wrong_is_told_before_anything_is_written(
    tmp_path: Path, table: Path, write_crops: Callable[..., Path]
) -> None:
    manifest, out = write_crops(patients=1), tmp_path / "out"
    with pytest.raises(LidcError, match="No such file"):
        add_diagnoses(manifest, tmp_path / "none.csv", out)
    (manifest.parent / read_manifest(manifest).rows[0].image).unlink()
    with pytest.raises(ManifestError, match="1 missing, the first"):
        add_diagnoses(manifest, table, out)
    assert not (out / "manifest.csv").exists()
