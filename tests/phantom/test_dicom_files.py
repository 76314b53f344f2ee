"""The phantom's files are what scanners, readers and TCIA write."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pydicom

from lungdx_paddle.lidc.diagnosis import read_diagnoses
from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.phantom import PhantomSettings
from lungdx_paddle.phantom.diseases import disease_of


def test_every_slice_is_a_ct_image_without_a_person(
    phantom: Path,
    small: PhantomSettings,
) -> None:
    files = sorted(phantom.rglob("*.dcm"))
    assert len(files) == 4 * small.slices
    for path in files:
        slice_ = pydicom.dcmread(path)
        assert slice_.SOPClassUID.name == "CT Image Storage"
        assert slice_.file_meta.TransferSyntaxUID.name == "Explicit VR Little Endian"
        assert slice_.file_meta.MediaStorageSOPInstanceUID == slice_.SOPInstanceUID
        assert slice_.SOPInstanceUID.is_valid
        assert not slice_.PatientName and not slice_.PatientBirthDate
        assert slice_.PatientIdentityRemoved == "YES"
        assert slice_.Manufacturer == "lungdx_paddle phantom"
        outside = slice_.pixel_array[0, 0]
        assert outside == slice_.PixelPaddingValue


def test_file_names_say_nothing_of_the_position(
    phantom: Path,
    small: PhantomSettings,
) -> None:
    for folder in {path.parent for path in phantom.rglob("*.dcm")}:
        slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
        z_mm = [float(s.ImagePositionPatient[2]) for s in slices]
        numbers = [int(s.InstanceNumber) for s in slices]
        assert z_mm != sorted(z_mm) and z_mm != sorted(z_mm, reverse=True)
        assert sorted(numbers) == list(range(1, small.slices + 1))
        steps = np.diff(np.array(z_mm)[np.argsort(numbers)])
        assert np.allclose(np.abs(steps), small.slice_mm) and len(set(np.sign(steps))) == 1


def test_the_makers_manners_differ_and_the_tissue_does_not(
    phantom: Path, series: list[Series], small: PhantomSettings
) -> None:
    headers = [pydicom.dcmread(next(phantom.glob(f"{s.patient_id}/*/*/*.dcm"))) for s in series]
    stored = {(int(h.PixelRepresentation), float(h.RescaleIntercept)) for h in headers}
    assert stored == {(1, -1024.0), (0, -1024.0), (0, -1000.0)}
    for one in series:
        middle = one.slice_hu(small.slices // 2)
        inside = middle[40:120, 20:140]
        assert abs(np.percentile(inside[inside < -500], 50) + 860) < 40  # lung
        assert abs(np.median(inside[np.abs(inside) < 90]) - 40) < 30  # muscle and blood
        assert 400 < inside.max() < 1500  # bone


def test_the_diagnosis_table_reads_like_tcias(phantom: Path) -> None:
    diagnoses = read_diagnoses(phantom / "tcia-diagnosis-phantom.csv").by_patient
    for patient in range(4):
        disease, site = disease_of(patient)
        found = diagnoses.get(f"PHANTOM-{patient + 1:04d}")
        if disease.code is None:
            assert found is None
        else:
            assert found is not None
            assert (found.code, found.primary_site) == (disease.code, site)
            assert found.method == disease.method
            assert set(found.nodule_codes) == {disease.code}
            assert set(found.nodule_methods) == {disease.method}


def test_the_xml_has_lidcs_namespace(phantom: Path) -> None:
    for path in phantom.rglob("*.xml"):
        assert ElementTree.parse(path).getroot().tag == "{http://www.nih.gov}LidcReadMessage"
