"""A collection becomes crops, a manifest and a report, however often it is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from lungdx_paddle.commands.preprocess_scans import report_lines
from lungdx_paddle.errors import LidcError, LungdxError, OutputError
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess import pipeline
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.workers import executor

LUNG = CropSettings(window=(-600.0, 1500.0))


def files(out: Path) -> dict[str, bytes]:
    """Everything below a folder, by name."""
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def series_of(out: Path) -> dict[str, dict[str, Any]]:
    """report.json's series by UID."""
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {series["series_uid"]: series for series in report["series"]}


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


def test_no_name_and_no_birth_date_is_written(collection: Path, tmp_path: Path) -> None:
    preprocess(collection, tmp_path / "out")
    everything = b"".join(files(tmp_path / "out").values())
    assert b"Secret" not in everything and b"19500102" not in everything


def test_the_number_of_processes_changes_no_byte(collection: Path, tmp_path: Path) -> None:
    preprocess(collection, tmp_path / "one")
    with executor(2) as pool:
        preprocess(collection, tmp_path / "two", pool=pool)
    assert files(tmp_path / "one") == files(tmp_path / "two")


class Killed(BaseException):
    """Ends a run as a signal would: no handler of errors sees it."""


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("where", ["crop_series", "store_finished"])
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, where: str
) -> None:
    preprocess(collection, tmp_path / "whole")
    original = getattr(pipeline, where)
    calls = []

    def dies(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > after:
            raise Killed
        return original(*args)

    with monkeypatch.context() as patch:
        patch.setattr(pipeline, where, dies)
        with pytest.raises(Killed):
            preprocess(collection, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.csv").exists()
    preprocess(collection, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_killed_between_crops_and_part_nothing_is_left_over(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess(collection, tmp_path / "whole")

    def dies(*args: Any) -> None:
        raise Killed

    for step in ("pathlib.Path.rename", "lungdx_paddle.preprocess.resume.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(step, dies)
            with pytest.raises(Killed):
                preprocess(collection, tmp_path / "out")
    preprocess(collection, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


def test_a_second_run_does_only_what_is_missing(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    preprocess(collection, out)
    before = files(out)
    lost = read_manifest(out).rows[3]
    (out / lost.image).unlink()
    done = []
    original = pipeline.crop_series

    def counted(*args: Any) -> Any:
        done.append(args[0].series.series_uid)
        return original(*args)

    monkeypatch.setattr(pipeline, "crop_series", counted)
    preprocess(collection, out)
    assert done == [lost.series_uid]
    preprocess(collection, out)
    assert len(done) == 1
    assert files(out) == before


def test_another_window_replaces_all_crops(collection: Path, tmp_path: Path) -> None:
    preprocess(collection, tmp_path / "out")
    preprocess(collection, tmp_path / "out", crops=LUNG)
    preprocess(collection, tmp_path / "fresh", crops=LUNG)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


@pytest.mark.parametrize("after", [0, 1])
def test_killed_on_the_way_to_another_window_no_old_manifest_lists_new_crops(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    preprocess(collection, tmp_path / "out")
    before = (tmp_path / "out" / "manifest.csv").read_bytes()
    original = pipeline.store_finished
    calls = []

    def dies(*args: Any) -> Any:
        calls.append(args)
        if len(calls) > after:
            raise Killed
        return original(*args)

    monkeypatch.setattr(pipeline, "store_finished", dies)
    with pytest.raises(Killed):
        preprocess(collection, tmp_path / "out", crops=LUNG)
    manifest = tmp_path / "out" / "manifest.csv"
    assert not manifest.exists() if after else manifest.read_bytes() == before


def add_to_pixels(collection: Path, hu: int) -> None:
    """Add to every stored value of a collection; sizes and times of the files stay."""
    for path in collection.rglob("*.dcm"):
        before = path.stat()
        header = pydicom.dcmread(path)
        header.PixelData = (header.pixel_array + hu).astype("<u2").tobytes()
        header.save_as(str(path))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size


def write_intercept(collection: Path, intercept: int) -> None:
    for path in collection.rglob("*.dcm"):
        header = pydicom.dcmread(path)
        header.RescaleIntercept = str(intercept)
        header.save_as(str(path))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    "change",
    [lambda folder: write_intercept(folder, 0), lambda folder: add_to_pixels(folder, 300)],
    ids=["rescale", "pixels"],
)
def test_crops_of_other_pixels_are_made_anew(
    collection: Path, tmp_path: Path, change: Callable[[Path], None], packed: bool
) -> None:
    def source() -> Path:
        if not packed:
            return collection
        return Path(shutil.make_archive(str(tmp_path / "lidc"), "zip", collection))

    preprocess(source(), tmp_path / "out")
    before = files(tmp_path / "out" / "crops")
    change(collection)
    preprocess(source(), tmp_path / "out")
    preprocess(source(), tmp_path / "fresh")
    after = files(tmp_path / "out")
    assert after == files(tmp_path / "fresh")
    assert not set(before.items()) & set(files(tmp_path / "out" / "crops").items())


def test_crops_of_another_version_of_the_rule_are_made_anew(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess(collection, tmp_path / "out")
    marker = next((tmp_path / "out").rglob("*.jpg"))
    marker.write_bytes(b"old")
    monkeypatch.setattr("lungdx_paddle.preprocess.resume.CROP_VERSION", 0)
    preprocess(collection, tmp_path / "out")
    assert marker.read_bytes() != b"old"


def test_a_changed_slice_without_an_outline_needs_no_new_crops(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess(collection, tmp_path / "out")
    for path in collection.rglob("000000.dcm"):
        path.write_bytes(path.read_bytes()[:-2] + b"\x01\x01")
    monkeypatch.setattr(pipeline, "crop_series", None)
    report = preprocess(collection, tmp_path / "out")
    assert len(report.having("done")) == 3


def test_by_context_the_manifest_says_so_and_other_crops_are_replaced(
    collection: Path, tmp_path: Path
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


def test_a_report_is_one_line_in_a_notebook(collection: Path, tmp_path: Path) -> None:
    report = preprocess(collection, tmp_path / "out")
    assert repr(report).startswith("Report(paper crops: 3 series, 3 done, 1 diagnosed_patients,")


def test_a_changed_xml_is_read_anew(collection: Path, tmp_path: Path) -> None:
    preprocess(collection, tmp_path / "out")
    xml = collection / "LIDC-IDRI-0002" / "1.2.2" / "001.xml"
    xml.write_text(xml.read_text(encoding="utf-8").replace("<malignancy>2", "<malignancy>3"))
    preprocess(collection, tmp_path / "out")
    assert read_manifest(tmp_path / "out").rows[3].malignancy_ratings == (1, 3)


def test_by_products_of_macos_and_excel_are_no_diagnosis_table(
    collection: Path, tmp_path: Path
) -> None:
    for name in ("._tcia-diagnosis-data.csv", "~$tcia-diagnosis-data.xls"):
        (collection / name).write_bytes(bytes(range(256)))
    report = preprocess(collection, tmp_path / "out")
    assert report.diagnosed_patients == 1


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


def test_a_series_that_fails_costs_only_itself(collection: Path, tmp_path: Path) -> None:
    broken = collection / "LIDC-IDRI-0002" / "1.2.2" / "000001.dcm"
    header = pydicom.dcmread(broken)
    header.PixelData = encapsulate([b"no run lengths"])
    header["PixelData"].is_undefined_length = True
    header.file_meta.TransferSyntaxUID = RLELossless
    header.save_as(str(broken))
    with executor(2) as pool:
        report = preprocess(collection, tmp_path / "out", pool=pool)
    series = series_of(tmp_path / "out")
    assert [s["status"] for s in series.values()] == ["done", "failed", "done"]
    assert "000001.dcm" in series["1.2.2"]["reason"]
    lines = report_lines(report)
    assert lines[0].startswith("2 of 3 series done")
    assert lines[1].startswith("LIDC-IDRI-0002: failed: ")
    assert {r.series_uid for r in read_manifest(tmp_path / "out").rows} == {"1.2.1", "1.2.3"}


def test_where_every_series_fails_the_first_reason_is_said(
    collection: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        LidcError, match="3 that cannot, the first because .* a window in the DICOM"
    ):
        preprocess(collection, tmp_path / "out", crops=CropSettings(window=None))


def test_slices_of_the_xml_that_are_not_there_are_named(collection: Path, tmp_path: Path) -> None:
    (collection / "LIDC-IDRI-0001" / "1.2.1" / "000003.dcm").unlink()
    report = preprocess(collection, tmp_path / "out")
    missing = series_of(tmp_path / "out")["1.2.1"]["missing_slices"]
    assert missing == [{"sop_uid": "1.2.1.3", "z_mm": 7.5}]
    assert "1 outlined slices are not there, see report.json: LIDC-IDRI-0001 (1)" in report_lines(
        report
    )
    assert len(read_manifest(tmp_path / "out")) == 6


def test_a_series_without_xml_is_reported(collection: Path, tmp_path: Path) -> None:
    (collection / "LIDC-IDRI-0001" / "1.2.1" / "001.xml").unlink()
    report = preprocess(collection, tmp_path / "out")
    assert series_of(tmp_path / "out")["1.2.1"]["status"] == "no annotations"
    assert "1 series without LIDC XML: LIDC-IDRI-0001" in report_lines(report)


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


def test_other_files_are_skipped_and_counted(collection: Path, tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "LICENSE"):
        (collection / name).write_text("hello")
    (collection / "empty.dcm").touch()
    report = preprocess(collection, tmp_path / "out")
    content = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    counts = {reason: s["files"] for reason, s in content["skipped_files"].items()}
    assert counts == {"no DICOM file": 3, "an empty file": 1}
    assert "3 files left out: no DICOM file" in report_lines(report)


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


def test_a_full_disk_keeps_what_is_finished(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_bytes = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if "1.2.2" in str(self) and self.suffix == ".jpg":
            raise OSError(28, "No space left on device")
        return write_bytes(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="No space left on device"):
            preprocess(collection, out)
    assert (out / "series" / "1.2.1.json").is_file()
    preprocess(collection, out)
    preprocess(collection, tmp_path / "whole")
    assert files(out) == files(tmp_path / "whole")


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
def test_a_partial_download_names_the_missing_slices(lidc_dicom: Path, tmp_path: Path) -> None:
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
