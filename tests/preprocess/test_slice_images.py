"""Every slice of a CT becomes a JPG, its lungs too if wanted, however often it is interrupted."""

from __future__ import annotations

import csv
import errno
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest

from lungdx_paddle.errors import ConfigError, LidcError, OutputError
from lungdx_paddle.lidc import find_series
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.preprocess import slice_images
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume
from lungdx_paddle.preprocess.lungs.paper_steps import lung_steps
from lungdx_paddle.preprocess.slice_images import write_slice_images
from lungdx_paddle.preprocess.window import apply_window
from lungdx_paddle.workers import executor


def files(out: Path) -> dict[str, bytes]:
    return {p.relative_to(out).as_posix(): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def table(out: Path) -> list[dict[str, str]]:
    with (out / "slices.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def gray(path: Path) -> np.ndarray:
    image: np.ndarray = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    return image


def rewrite_headers(folder: Path, change: Callable[[pydicom.Dataset, int], None]) -> None:
    for number, path in enumerate(sorted(folder.rglob("*.dcm"))):
        header = pydicom.dcmread(path)
        change(header, number)
        header.save_as(str(path))


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small phantoms without their XML: any CT will do."""
    folder = tmp_path_factory.mktemp("chests")
    write_phantom(folder, patients=2, jobs=1, settings=PhantomSettings(rows=96, slices=5))
    for path in folder.rglob("*.xml"):
        path.unlink()
    return folder


def test_every_slice_becomes_a_jpg_named_by_index_and_position(
    collection: Path, tmp_path: Path
) -> None:
    report = write_slice_images(collection, tmp_path / "out")
    rows = table(tmp_path / "out")
    assert len(rows) == report.slices == 15
    assert rows[1] == {
        "image": "slices/LIDC-IDRI-0001/1.2.1/s001_z2.50.jpg",
        "patient_id": "LIDC-IDRI-0001",
        "series_uid": "1.2.1",
        "sop_uid": "1.2.1.1",
        "index": "1",
        "z_mm": "2.5",
        "window_center": "20.0",
        "window_width": "2040.0",
        "lungs": "",
        "mask": "",
        "instance_number": "0",
    }
    series = find_series(collection)[0][0]
    image = gray(tmp_path / "out" / rows[1]["image"])
    assert image.dtype == np.uint8 and image.shape == (64, 64)
    wanted = apply_window(series.slice_hu(1), 20.0, 2040.0)
    assert np.abs(image.astype(int) - wanted).max() <= 2


def test_slices_are_in_caudal_to_cranial_order_whatever_the_files_are_called(
    chests: Path, tmp_path: Path
) -> None:
    write_slice_images(chests, tmp_path / "out")
    for series in find_series(chests)[0]:
        rows = [r for r in table(tmp_path / "out") if r["series_uid"] == series.series_uid]
        assert [r["sop_uid"] for r in rows] == list(series.sop_uids)
        assert [float(r["z_mm"]) for r in rows] == sorted(series.z_mm.round(4).tolist())
        assert [r["instance_number"] for r in rows] == [str(s.instance) for s in series.slices]


@pytest.mark.parametrize("lungs", ["paper", "corrected"])
def test_mask_and_parenchyma_lie_beside_the_slice(chests: Path, tmp_path: Path, lungs: str) -> None:
    write_slice_images(chests, tmp_path / "out", lungs=lungs)
    series = find_series(chests)[0][0]
    volume = lung_volume(series)
    for index, row in enumerate(table(tmp_path / "out")[:5]):
        hu = series.slice_hu(index)
        lung = lung_steps(hu)["lung"] if lungs == "paper" else volume[index]
        assert row["mask"] == row["image"].replace(".jpg", "_mask.png")
        assert row["lungs"] == row["image"].replace(".jpg", "_lungs.jpg")
        assert np.array_equal(gray(tmp_path / "out" / row["mask"]), np.where(lung, 255, 0))
        shown = gray(tmp_path / "out" / row["lungs"]).astype(int)
        wanted = np.where(lung, apply_window(hu, 20.0, 2040.0), 0)
        assert np.abs(shown - wanted).max() <= 2, "black outside, the slice inside"
    assert volume.any()


@pytest.mark.parametrize("lungs", [None, "paper", "corrected"])
def test_the_number_of_processes_changes_no_byte(
    chests: Path, tmp_path: Path, lungs: str | None
) -> None:
    write_slice_images(chests, tmp_path / "one", lungs=lungs)
    with executor(2) as pool:
        write_slice_images(chests, tmp_path / "two", lungs=lungs, pool=pool)
    assert files(tmp_path / "one") == files(tmp_path / "two")


def test_a_second_run_does_only_the_series_that_lacks_an_image(
    chests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disk: Any
) -> None:
    out = tmp_path / "out"
    write_slice_images(chests, out)
    assert disk.lost(out) == set() and disk.too_soon == []  # by a power cut
    before = files(out)
    lost = table(out)[-1]
    (out / lost["image"]).unlink()
    done = []
    original = slice_images._write_series

    def counted(job: Any) -> str:
        done.append(job.series.series_uid)
        return original(job)

    monkeypatch.setattr(slice_images, "_write_series", counted)
    write_slice_images(chests, out)
    assert done == [lost["series_uid"]]
    write_slice_images(chests, out)
    assert len(done) == 1
    assert files(out) == before


def test_other_pixels_of_the_same_slices_give_other_images(
    collection: Path, tmp_path: Path
) -> None:
    write_slice_images(collection, tmp_path / "out")
    name = table(tmp_path / "out")[0]["image"]
    before = gray(tmp_path / "out" / name).astype(int)

    def brighter(header: pydicom.Dataset, number: int) -> None:
        header.RescaleIntercept = str(int(header.RescaleIntercept) + 300)

    rewrite_headers(collection, brighter)
    write_slice_images(collection, tmp_path / "out")
    after = gray(tmp_path / "out" / name).astype(int)
    assert abs(np.median(after - before) - 300 / 8) < 1


def test_without_lungs_the_second_time_no_mask_is_left_over(chests: Path, tmp_path: Path) -> None:
    write_slice_images(chests, tmp_path / "out", lungs="paper")
    write_slice_images(chests, tmp_path / "out")
    write_slice_images(chests, tmp_path / "fresh")
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_the_window_of_the_header_is_each_series_own(collection: Path, tmp_path: Path) -> None:
    def windowed(header: pydicom.Dataset, number: int) -> None:
        if header.SeriesInstanceUID != "1.2.1":
            header.WindowCenter, header.WindowWidth = ("-600", "1500")

    rewrite_headers(collection, windowed)
    report = write_slice_images(collection, tmp_path / "out", window=None)
    rows = table(tmp_path / "out")
    assert {(r["window_center"], r["window_width"]) for r in rows} == {("-600.0", "1500.0")}
    (failed,) = report.failed
    assert failed.series_uid == "1.2.1" and "a window in the DICOM header" in failed.failure
    assert repr(report) == "<SliceImagesReport: 10 slices of 2/3 series>"


@pytest.mark.filterwarnings("ignore")  # pydicom's, of identifiers that are no such
def test_identifiers_that_look_alike_or_climb_stay_apart_and_inside(
    tmp_path: Path, add_series: Callable[..., Path]
) -> None:
    hostile = ["../../out", "a/b", "a_b", "..", "x" * 300]
    for number, patient in enumerate(hostile):
        folder = add_series(tmp_path / "c", f"P{number}", f"1.2.{number}")

        def renamed(header: pydicom.Dataset, _: int, patient: str = patient) -> None:
            header.PatientID = patient
            header.SeriesInstanceUID = f"../{patient}"

        rewrite_headers(folder, renamed)
    out = tmp_path / "out"
    report = write_slice_images(tmp_path / "c", out)
    images = [row["image"] for row in table(out)]
    assert len(set(images)) == len(images) == report.slices == 25
    assert all((out / "slices").resolve() in (out / image).resolve().parents for image in images)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c", "out"]
    assert all(re.fullmatch(r"[A-Za-z0-9._/-]+", image) for image in images)


def test_no_name_and_no_birth_date_is_written(collection: Path, tmp_path: Path) -> None:
    write_slice_images(collection, tmp_path / "out")
    everything = b"".join(files(tmp_path / "out").values())
    assert b"Secret" not in everything and b"19500102" not in everything


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_one_clear_line_and_keeps_finished_series(
    chests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    out = tmp_path / "out"
    (out / "slices").mkdir(parents=True)
    if jobs == 2:  # what another process does cannot be patched
        (out / "slices" / "PHANTOM-0002").touch()
        reason = "exists|Not a directory"
    else:
        write = slice_images._write_image

        def full(path: Path, image: np.ndarray) -> None:
            if "PHANTOM-0002" in str(path):
                raise OSError(errno.ENOSPC, "No space left on device")
            write(path, image)

        monkeypatch.setattr(slice_images, "_write_image", full)
        reason = "No space left on device"
    full_disk = pytest.raises(OutputError, match=f"PHANTOM-0002.*({reason}); free some space")
    with full_disk, executor(jobs) as pool:
        write_slice_images(chests, out, pool=pool)
    assert not (out / "slices.csv").exists()
    assert not list(out.rglob("*~*")), "half a series gives its space back"
    assert len(list((out / "slices" / "PHANTOM-0001").rglob("*.jpg"))) == 5


def test_a_series_that_fails_costs_only_itself(
    chests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = slice_images.lung_steps

    def fails_once(hu: np.ndarray) -> Any:
        monkeypatch.setattr(slice_images, "lung_steps", steps)
        raise ValueError("a strange slice")

    monkeypatch.setattr(slice_images, "lung_steps", fails_once)
    report = write_slice_images(chests, tmp_path / "out", lungs="paper")
    assert [s.failure for s in report.series] == ["ValueError: a strange slice", ""]
    assert {r["patient_id"] for r in table(tmp_path / "out")} == {"PHANTOM-0002"}


def test_no_ct_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.txt").write_text("hello")
    with pytest.raises(LidcError, match=r"none in 1 files \(.*a.txt: no DICOM file\)"):
        write_slice_images(tmp_path / "c", tmp_path / "out")


def test_another_lung_mask_is_refused_with_those_there_are(chests: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected paper or corrected, found best"):
        write_slice_images(chests, tmp_path / "out", lungs="best")
