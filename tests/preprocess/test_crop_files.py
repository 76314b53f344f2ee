"""A crop is a JPG in a folder of its series, and a row of the manifest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

from lungdx_paddle.lidc import Diagnosis
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess.crop_files import encode_jpg, file_name, with_diagnoses
from lungdx_paddle.preprocess.pipeline import preprocess


def test_the_phantom_is_marked_as_such(tmp_path: Path, add_series: Callable[..., Path]) -> None:
    add_series(tmp_path / "c", "PHANTOM-0001")
    preprocess(tmp_path / "c", tmp_path / "out")
    assert {r.source for r in read_manifest(tmp_path / "out").rows} == {"phantom"}


@pytest.mark.parametrize("patient", ["../../outside", "..", "a/b:c"])
def test_a_patient_id_cannot_lead_out_of_the_folder(
    tmp_path: Path, add_series: Callable[..., Path], patient: str
) -> None:
    folder = add_series(tmp_path / "c", "P")
    for path in folder.glob("*.dcm"):
        header = pydicom.dcmread(path)
        header.PatientID = patient
        header.save_as(str(path))
    preprocess(tmp_path / "c", tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    assert manifest.rows[0].patient_id == patient
    crops = (tmp_path / "out" / "crops").resolve()
    assert all(crops in (manifest.folder / r.image).resolve().parents for r in manifest.rows)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "out"]


def test_identifiers_that_look_alike_as_file_names_stay_apart() -> None:
    assert file_name("1.2.840.113") == "1.2.840.113"
    names = [file_name(identifier) for identifier in ("a/b", "a:b", "a b", "a_b", "..", ".")]
    assert len(set(names)) == len(names)
    assert not any("/" in name or name in (".", "..") for name in names)


def test_a_crop_survives_its_jpg(tmp_path: Path) -> None:
    crop = np.zeros((32, 32), np.uint8)
    crop[8:24, 8:24] = 130
    decoded = cv2.imdecode(np.frombuffer(encode_jpg(crop), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded.shape == (32, 32)
    assert np.abs(decoded.astype(int) - crop).max() <= 6


def test_rows_take_their_patients_diagnosis(crop_rows: Any) -> None:
    patient = crop_rows[0].patient_id
    known = {patient: Diagnosis(patient, 3, "colon cancer", 2, (3, 1), (2, 0))}
    rows = list(with_diagnoses(crop_rows, known))
    for before, row in zip(crop_rows, rows):
        if row.patient_id == patient:
            assert (row.diagnosis, row.primary_site) == (3, "colon cancer")
            assert row.diagnosis_method == 2
            assert (row.nodule_diagnoses, row.nodule_methods) == ((3, 1), (2, 0))
        else:
            assert row == before
