"""The phantom: real files in LIDC's form, the same every time, with something to learn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from defusedxml import ElementTree

from lungdx_paddle.errors import ConfigError, OutputError
from lungdx_paddle.lidc.annotations import Annotations, find_annotations
from lungdx_paddle.lidc.diagnosis import read_diagnoses
from lungdx_paddle.lidc.dicom import Series, find_series
from lungdx_paddle.lidc.nodules import group_readings
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.phantom.diseases import DISEASES, disease_of
from lungdx_paddle.phantom.simulated_readers import outline

SMALL = PhantomSettings(rows=160, slices=10, slice_mm=2.5, nodules=(3, 5))
PATIENTS = 4


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_phantom(folder, PATIENTS, seed=3, jobs=1, settings=SMALL)
    return folder


@pytest.fixture(scope="module")
def series(phantom: Path) -> list[Series]:
    found, skipped = find_series(phantom)
    assert not [s for s in skipped if s.path.endswith(".dcm")]
    return sorted(found, key=lambda s: s.patient_id)


@pytest.fixture(scope="module")
def annotations(phantom: Path) -> dict[str, Annotations]:
    return find_annotations(phantom)[0]


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_the_same_seed_gives_the_same_bytes_whatever_the_jobs(
    phantom: Path, tmp_path: Path
) -> None:
    write_phantom(tmp_path, PATIENTS, seed=3, jobs=2, settings=SMALL)
    assert digests(tmp_path) == digests(phantom)


def test_another_seed_gives_other_names_and_pixels(phantom: Path, tmp_path: Path) -> None:
    write_phantom(tmp_path, 1, seed=4, jobs=1, settings=SMALL)
    assert not set(digests(tmp_path).values()) & set(digests(phantom).values())


def test_a_smaller_collection_is_the_beginning_of_a_larger_one(
    phantom: Path, tmp_path: Path
) -> None:
    write_phantom(tmp_path, 1, seed=3, jobs=1, settings=SMALL)
    first = digests(tmp_path / "PHANTOM-0001")
    assert first == digests(phantom / "PHANTOM-0001")


def test_an_earlier_phantom_is_replaced_and_other_files_are_kept(tmp_path: Path) -> None:
    (tmp_path / "PHANTOM-0099").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    write_phantom(tmp_path, 1, jobs=1, settings=SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "PHANTOM-0001",
        "notes.txt",
        "tcia-diagnosis-phantom.csv",
    ]


def test_every_slice_is_a_ct_image_without_a_person(phantom: Path) -> None:
    files = sorted(phantom.rglob("*.dcm"))
    assert len(files) == PATIENTS * SMALL.slices
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


def test_file_names_say_nothing_of_the_position(phantom: Path) -> None:
    for folder in {path.parent for path in phantom.rglob("*.dcm")}:
        slices = [pydicom.dcmread(path) for path in sorted(folder.glob("*.dcm"))]
        z_mm = [float(s.ImagePositionPatient[2]) for s in slices]
        numbers = [int(s.InstanceNumber) for s in slices]
        assert z_mm != sorted(z_mm) and z_mm != sorted(z_mm, reverse=True)
        assert sorted(numbers) == list(range(1, SMALL.slices + 1))
        steps = np.diff(np.array(z_mm)[np.argsort(numbers)])
        assert np.allclose(np.abs(steps), SMALL.slice_mm) and len(set(np.sign(steps))) == 1


def test_the_makers_manners_differ_and_the_tissue_does_not(
    phantom: Path, series: list[Series]
) -> None:
    headers = [pydicom.dcmread(next(phantom.glob(f"{s.patient_id}/*/*/*.dcm"))) for s in series]
    stored = {(int(h.PixelRepresentation), float(h.RescaleIntercept)) for h in headers}
    assert stored == {(1, -1024.0), (0, -1024.0), (0, -1000.0)}
    for one in series:
        middle = one.slice_hu(SMALL.slices // 2)
        inside = middle[40:120, 20:140]
        assert abs(np.percentile(inside[inside < -500], 50) + 860) < 40  # lung
        assert abs(np.median(inside[np.abs(inside) < 90]) - 40) < 30  # muscle and blood
        assert 400 < inside.max() < 1500  # bone


def test_four_readers_mark_every_series_and_name_slices_that_are_there(
    series: list[Series], annotations: dict[str, Annotations]
) -> None:
    assert set(annotations) == {one.series_uid for one in series}
    for one in series:
        marks = annotations[one.series_uid]
        assert marks.readers == 4
        assert marks.readings
        for reading in marks.readings:
            assert 1 <= (reading.malignancy or 0) <= 5
            for contour in reading.contours:
                index = one.index_of(contour.sop_uid)
                assert index is not None
                assert contour.z_mm == pytest.approx(one.z_mm[index], abs=1e-3)
                assert (contour.points_xy[0] == contour.points_xy[-1]).all()
    assert any(marks.small_nodules for marks in annotations.values())
    assert any(marks.non_nodules for marks in annotations.values())


def test_readers_agree_on_where_and_not_quite_on_what(
    series: list[Series], annotations: dict[str, Annotations]
) -> None:
    same_outline, same_rating, overlaps = [], [], []
    for one in series:
        nodules = group_readings(annotations[one.series_uid], one.spacing_zyx_mm[1])
        assert len(nodules) <= SMALL.nodules[1]
        for nodule in nodules:
            same_rating.append(len(set(nodule.malignancy_ratings)) == 1)
            for uid in nodule.sop_uids:
                masks = nodule.masks(uid, one.shape_zyx[1:])
                if len(masks) > 1:
                    overlaps.append(masks.all(axis=0).sum() / masks.any(axis=0).sum())
                    same_outline.append((masks == masks[0]).all())
    assert np.median(overlaps) > 0.5
    assert not all(same_outline) and not all(same_rating)


def test_a_nodule_is_denser_than_the_lung_around_it(
    series: list[Series], annotations: dict[str, Annotations]
) -> None:
    denser = []
    for one in series:
        for nodule in group_readings(annotations[one.series_uid], one.spacing_zyx_mm[1]):
            uid = nodule.sop_uids[len(nodule.sop_uids) // 2]
            mask = nodule.majority_mask(uid, one.shape_zyx[1:])
            if mask.any():
                hu = one.slice_hu(one.index_of(uid) or 0)
                denser.append(hu[mask].mean() > -750)
    assert np.mean(denser) > 0.9


def test_an_outline_is_the_first_pixels_outside() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:7, 2:6] = True
    points = outline(mask)
    assert points is not None
    drawn = np.zeros_like(mask)
    drawn[points[:, 1], points[:, 0]] = True
    assert not (drawn & mask).any()
    assert drawn.sum() == 16  # four beyond each side; the corners are cut


def test_a_mask_of_a_few_pixels_has_no_outline() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert outline(mask) is None


def test_the_diagnosis_table_reads_like_tcias(phantom: Path) -> None:
    diagnoses = read_diagnoses(phantom / "tcia-diagnosis-phantom.csv")
    for patient in range(PATIENTS):
        disease, site = disease_of(patient)
        found = diagnoses.get(f"PHANTOM-{patient + 1:04d}")
        if disease.code is None:
            assert found is None
        else:
            assert found is not None
            assert (found.code, found.primary_site) == (disease.code, site)


def test_more_than_half_of_the_patients_are_diagnosed() -> None:
    diagnosed = [disease for disease in DISEASES if disease.code is not None]
    assert 0.5 < len(diagnosed) / len(DISEASES) < 0.7


def test_the_xml_has_lidcs_namespace(phantom: Path) -> None:
    for path in phantom.rglob("*.xml"):
        assert ElementTree.parse(path).getroot().tag == "{http://www.nih.gov}LidcReadMessage"


def test_no_patients_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="phantom patients: expected a whole number from 1"):
        write_phantom(tmp_path, 0)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        write_phantom(tmp_path / "file", 1)
