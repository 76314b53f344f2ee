"""An interrupted run goes on; crops whose slices, marks or rule have changed are made anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest

from lungdx_paddle.errors import OutputError
from lungdx_paddle.manifest import read_manifest
from lungdx_paddle.preprocess import pipeline
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.pipeline import preprocess

LUNG = CropSettings(window=(-600.0, 1500.0))


class Killed(BaseException):
    """Ends a run as a signal would: no handler of errors sees it."""


@pytest.mark.parametrize("after", [0, 1, 2])
@pytest.mark.parametrize("where", ["crop_series", "store_finished"])
def test_killed_and_run_again_it_ends_with_the_same_bytes(
    collection: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    where: str,
    files: Callable[..., Any],
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
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Callable[..., Any]
) -> None:
    preprocess(collection, tmp_path / "whole")

    def dies(*args: Any) -> None:
        raise Killed

    for step in ("lungdx_paddle.files.put_in_place", "lungdx_paddle.preprocess.resume.write_text"):
        with monkeypatch.context() as patch:
            patch.setattr(step, dies)
            with pytest.raises(Killed):
                preprocess(collection, tmp_path / "out")
    preprocess(collection, tmp_path / "out")
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("left", ["crop", "empty crop", "results"])
def test_what_a_power_cut_took_of_a_series_is_made_anew(
    collection: Path, tmp_path: Path, left: str, files: Callable[..., Any]
) -> None:
    """Until the manifest is written a series is not waited for on the disk."""
    out = tmp_path / "out"
    preprocess(collection, out)
    before = files(out)
    damaged = out / read_manifest(out).rows[3].image
    if left == "results":
        damaged = next((out / "series").iterdir())
    content = damaged.read_bytes()
    damaged.write_bytes(b"" if left == "empty crop" else content[: len(content) // 2])
    (out / "manifest.csv").unlink()
    preprocess(collection, out)
    assert files(out) == before


def test_a_second_run_does_only_what_is_missing(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Callable[..., Any]
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


def test_another_window_replaces_all_crops(
    collection: Path, tmp_path: Path, files: Callable[..., Any]
) -> None:
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
    collection: Path,
    tmp_path: Path,
    change: Callable[[Path], None],
    packed: bool,
    files: Callable[..., Any],
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


def test_a_changed_xml_is_read_anew(collection: Path, tmp_path: Path) -> None:
    preprocess(collection, tmp_path / "out")
    xml = collection / "LIDC-IDRI-0002" / "1.2.2" / "001.xml"
    xml.write_text(xml.read_text(encoding="utf-8").replace("<malignancy>2", "<malignancy>3"))
    preprocess(collection, tmp_path / "out")
    assert read_manifest(tmp_path / "out").rows[3].malignancy_ratings == (1, 3)


def test_a_full_disk_keeps_what_is_finished(
    collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Callable[..., Any]
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
