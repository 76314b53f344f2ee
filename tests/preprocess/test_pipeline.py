"""A collection becomes crops, a manifest and a report, whatever the workers."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from lungdx_paddle.errors import LidcError, LungdxError, OutputError
from lungdx_paddle.lidc.sources import UNPACK
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess import pipeline
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.workers import executor

LUNG = CropSettings(window=(-600.0, 1500.0))


def test_every_outlined_slice_becomes_a_row_and_a_crop(collection: Path, tmp_path: Path) -> None:
    report = preprocess(collection, tmp_path / "out")
    rows = read_manifest(tmp_path / "out").rows
    assert [(r.patient_id, r.series_uid, r.nodule, r.z_mm) for r in rows] == [
        ("LIDC-IDRI-0001", "1.2.1", 0, 2.5),
        ("LIDC-IDRI-0001", "1.2.1", 0, 5.0),
        ("LIDC-IDRI-0001", "1.2.1", 0, 7.5),
        ("LIDC-IDRI-0002", "1.2.2", 0, 2.5),
        ("LIDC-IDRI-0002", "1.2.2", 0, 5.0),
        ("LIDC-IDRI-0002", "1.2.2", 0, 7.5),
        ("LIDC-IDRI-0002", "1.2.3", 1, 5.0),
    ], "nodules are numbered through a patient's series"
    first = rows[0]
    assert first.malignancy_ratings == (5, 5, 5, 4)
    assert (first.readers, first.scale, first.pixel_spacing_mm) == (4, 1.0, 0.7)
    assert first.window == (20.0, 2040.0)
    assert (first.diagnosis, first.primary_site) == (3, "colon cancer")
    assert rows[-1].diagnosis is None
    assert (first.sop_uid, first.source, first.crop) == ("1.2.1.1", "lidc", "paper")
    assert report.crops == 7
    image = cv2.imread(str(tmp_path / "out" / first.image), cv2.IMREAD_UNCHANGED)
    assert image.shape == (32, 32)
    assert abs(int(image[16, 16]) - 129) <= 2, "30 HU"
    assert image[:8].max() <= 3


def test_crops_are_on_the_disk_before_the_manifest_that_lists_them(
    collection: Path, tmp_path: Path, disk: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, write = tmp_path / "out", pipeline.write_manifest

    def seen(*args: Any) -> None:
        assert disk.lost(out / "crops") == disk.lost(out / "series") == set()
        write(*args)

    monkeypatch.setattr(pipeline, "write_manifest", seen)
    for crops in (CropSettings(), LUNG):
        preprocess(collection, out, crops=crops)
        assert disk.lost(out) == set()


def test_marks_that_are_not_called_xml_are_read_and_not_left_out(
    collection: Path, tmp_path: Path
) -> None:
    for path in sorted(collection.rglob("*.xml")):
        path.rename(path.with_suffix(".txt"))
    report = preprocess(collection, tmp_path / "out")
    assert report.crops == 7
    assert not report.skipped


def test_no_name_and_no_birth_date_is_written(
    collection: Path, tmp_path: Path, files: Callable[..., Any]
) -> None:
    preprocess(collection, tmp_path / "out")
    everything = b"".join(files(tmp_path / "out").values())
    assert b"Secret" not in everything and b"19500102" not in everything


def test_the_number_of_processes_changes_no_byte(
    collection: Path, tmp_path: Path, files: Callable[..., Any]
) -> None:
    preprocess(collection, tmp_path / "one")
    with executor(2) as pool:
        preprocess(collection, tmp_path / "two", pool=pool)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_by_context_the_manifest_says_so_and_other_crops_are_replaced(
    collection: Path, tmp_path: Path, files: Callable[..., Any]
) -> None:
    preprocess(collection, tmp_path / "out")
    settings = CropSettings("context")
    report = preprocess(collection, tmp_path / "out", crops=settings)
    preprocess(collection, tmp_path / "fresh", crops=settings)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")
    assert report.crop == "context"
    row = read_manifest(tmp_path / "out").rows[0]
    assert (row.crop, row.scale) == ("context", 1.0)
    image = cv2.imread(str(tmp_path / "out" / row.image), cv2.IMREAD_UNCHANGED).astype(int)
    assert abs(image[16, 16] - 129) <= 3, "30 HU in the middle"
    assert abs(image[16, 2] - 19) <= 3, "-850 HU, the lung beside it"
    assert abs(image[1, 16] - 130) <= 3, "40 HU, the tissue that frames it"


def test_by_products_of_macos_and_excel_are_no_diagnosis_table(
    collection: Path, tmp_path: Path
) -> None:
    for name in ("._tcia-diagnosis-data.csv", "~$tcia-diagnosis-data.xls"):
        (collection / name).write_bytes(bytes(range(256)))
    report = preprocess(collection, tmp_path / "out")
    assert report.diagnosed_patients == 1


def test_a_collection_of_archives_and_gzip_gives_the_same(
    collection: Path, tmp_path: Path, files: Callable[[Path], dict[str, bytes]]
) -> None:
    preprocess(collection, tmp_path / "out")
    packed = tmp_path / "packed"
    packed.mkdir()
    with zipfile.ZipFile(packed / "one.ZIP", "w") as archive:
        for number, path in enumerate(sorted(p for p in collection.rglob("*") if p.is_file())):
            name = path.relative_to(collection).as_posix()
            if number % 2:
                archive.write(path, name.replace("/", "\\"))
            else:
                name = f"{number}-{path.name}.gz"
                (packed / name).write_bytes(gzip.compress(path.read_bytes()))
    (packed / "rest.tar").write_bytes(b"x")
    report = preprocess(packed, tmp_path / "again")
    assert [s.reason for s in report.skipped] == [f"an archive of another kind than zip{UNPACK}"]
    whole, again = files(tmp_path / "out"), files(tmp_path / "again")
    assert report.diagnosed_patients == 1
    assert {n: b for n, b in again.items() if n != "report.json"} == {
        n: b for n, b in whole.items() if n != "report.json"
    }


def test_what_is_doubtful_of_a_diagnosis_table_stands_in_the_report(
    collection: Path, tmp_path: Path
) -> None:
    table = collection / "tcia-diagnosis-data.csv"
    table.write_text("Patient ID,Diagnosis,Primary tumor site\n1,3,\nX,1,\n", "utf-8")
    (collection / "diagnoses.csv").write_text("a,b\n", "utf-8")
    report = preprocess(collection, tmp_path / "out")
    assert report.diagnosed_patients == 1 and not report.skipped
    notes = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))["diagnosis_notes"]
    assert notes == list(report.diagnosis_notes)
    for note, words in zip(
        sorted(notes), (": 1 ID of 2 is no patient's here: X", "1 is LIDC-IDRI-0001", "not read as")
    ):
        assert words in note


def test_a_changed_diagnosis_table_needs_no_new_crops(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess(collection, tmp_path / "out")
    table = tmp_path / "other.csv"
    table.write_text("Patient ID,Diagnosis,Primary tumor site\nLIDC-IDRI-0002,1,\n")
    monkeypatch.setattr(pipeline, "crop_series", None)
    preprocess(collection, tmp_path / "out", diagnosis=table)
    rows = read_manifest(tmp_path / "out").rows
    assert [r.diagnosis for r in rows] == [None] * 3 + [1] * 4


def test_the_xml_may_lie_elsewhere(collection: Path, tmp_path: Path) -> None:
    for number, xml in enumerate(sorted(collection.rglob("*.xml"))):
        (tmp_path / "xml").mkdir(exist_ok=True)
        xml.rename(tmp_path / "xml" / f"{number}.xml")
    shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "xml")
    preprocess(collection, tmp_path / "folder", xml=tmp_path / "xml")
    preprocess(collection, tmp_path / "zip", xml=tmp_path / "all.zip")
    manifests = [tmp_path / name / "manifest.csv" for name in ("folder", "zip")]
    assert manifests[0].read_bytes() == manifests[1].read_bytes()
    assert len(read_manifest(manifests[0])) == 7


def test_an_empty_collection_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    with pytest.raises(LidcError, match="expected DICOM files of CT series, found none in 0 files"):
        preprocess(tmp_path / "c", tmp_path / "out")


def test_a_collection_without_any_xml_says_what_to_do(collection: Path, tmp_path: Path) -> None:
    for xml in collection.rglob("*.xml"):
        xml.unlink()
    with pytest.raises(LidcError, match="none for 3 series.*--xml"):
        preprocess(collection, tmp_path / "out")


def test_an_output_that_is_a_file_is_refused(collection: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out"):
        preprocess(collection, tmp_path / "out")


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_place_that_cannot_be_written_stops_the_run(
    collection: Path, tmp_path: Path, jobs: int
) -> None:
    (tmp_path / "out" / "crops").mkdir(parents=True)
    (tmp_path / "out" / "crops" / "LIDC-IDRI-0002").touch()
    whole = pytest.raises(OutputError, match="LIDC-IDRI-0002.*what was there before is whole")
    with whole, executor(jobs) as pool:
        preprocess(collection, tmp_path / "out", pool=pool)


def die(job: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_worker_that_the_system_ends_is_one_clear_line(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "_finish", die)
    with pytest.raises(LungdxError, match="run again with fewer jobs"), executor(2) as pool:
        preprocess(collection, tmp_path / "out", pool=pool)


@pytest.mark.lidc
def test_the_first_patient_has_one_nodule_on_nine_slices(real_crops: Path) -> None:
    rows = [r for r in read_manifest(real_crops).rows if r.patient_id == "LIDC-IDRI-0001"]
    assert len(rows) == 9
    assert {r.nodule for r in rows} == {0}
    assert {r.malignancy_ratings for r in rows} == {(5, 5, 5, 4)}
    assert [r.z_mm for r in rows] == list(np.arange(-125, -104, 2.5))


@pytest.mark.lidc
def test_the_crops_are_those_of_lidc32(real_crops: Path, lidc32: Path) -> None:
    ours = read_manifest(real_crops)
    theirs = read_manifest(lidc32)
    found = {(r.patient_id, r.nodule, r.z_mm): r for r in ours.rows}
    patients = {r.patient_id for r in ours.rows}
    rows = [r for r in theirs.rows if r.patient_id in patients]
    assert len(rows) == 43
    overlaps = []
    for row in rows:
        same = found[row.patient_id, row.nodule, row.z_mm]
        assert (same.readers, same.malignancy_ratings) == (row.readers, row.malignancy_ratings)
        assert same.scale == pytest.approx(row.scale, abs=1e-4)
        a, b = (
            cv2.imread(str(m.folder / r.image), cv2.IMREAD_GRAYSCALE) > 8
            for m, r in ((ours, same), (theirs, row))
        )
        overlaps.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    assert np.mean(overlaps) > 0.98


@pytest.mark.lidc
def test_a_partial_download_names_the_missing_slices(
    lidc_dicom: Path, tmp_path: Path, series_of: Callable[..., Any]
) -> None:
    source = next(lidc_dicom.rglob("LIDC-IDRI-0012"))
    shutil.copytree(source, tmp_path / "c", copy_function=os.link)
    rows = read_manifest_of(tmp_path / "c", tmp_path / "out")
    gone = {rows[0], rows[-1]}
    for path in (tmp_path / "c").rglob("*.dcm"):
        if any(uid.encode() in path.read_bytes()[:4096] for uid in gone):
            path.unlink()
    preprocess(tmp_path / "c", tmp_path / "out")
    (series,) = series_of(tmp_path / "out").values()
    assert {s["sop_uid"] for s in series["missing_slices"]} == gone


def read_manifest_of(collection: Path, out: Path) -> list[str]:
    """SOP instance UIDs of the outlined slices, in order."""
    preprocess(collection, out)
    return [r.sop_uid for r in read_manifest(out).rows]
