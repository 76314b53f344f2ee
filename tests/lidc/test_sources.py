"""Files are found in folders and in zip archives, which are never unpacked."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Series, find_annotations, find_series, read_annotations
from lungdx_paddle.lidc.sources import SourceFile, list_files
from lungdx_paddle.locks import alone_in

WriteSlice = Callable[..., Path]


def only(source: Path) -> Series:
    (series,), skipped = find_series(source)
    assert not skipped
    return series


def test_a_zip_archive_is_read_in_place(write_slice: WriteSlice, tmp_path: Path) -> None:
    stored = np.arange(30, dtype=np.int16).reshape(6, 5)
    path = write_slice(stored=stored)
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "../../climbs/out.dcm")
    series = only(tmp_path / "scan.zip")
    assert np.array_equal(series.slice_hu(0), stored - 1024)
    assert not (tmp_path.parent / "climbs").exists()


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="nowhere: expected a folder"):
        find_series(tmp_path / "nowhere")


def test_links_in_a_ring_end(write_slice: WriteSlice, scan: Path) -> None:
    write_slice()
    (scan / "ring").symlink_to(scan, target_is_directory=True)
    assert only(scan).shape_zyx == (1, 6, 5)


def packed(*names: str, content: bytes = b"x") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), content)
    return stream.getvalue()


def names_in(source: Path) -> list[str]:
    files, skipped = list_files(source)
    assert not skipped
    return [str(file).removeprefix(f"{source}/") for file in files]


def reasons_in(source: Path) -> dict[str, str]:
    return {s.path.removeprefix(f"{source}/"): s.reason for s in list_files(source)[1]}


def test_a_folder_of_archives_is_read_as_if_unpacked(write_slice: WriteSlice, scan: Path) -> None:
    stored = [np.full((6, 5), k, np.int16) for k in range(3)]
    for k in range(3):
        path = write_slice(z_mm=k, stored=stored[k])
        (scan / "below").mkdir(exist_ok=True)
        (scan / "below" / f"{k}.ZIP").write_bytes(packed("a/1.DCM", content=path.read_bytes()))
        path.unlink()
    (scan / "broken.zip").write_bytes(b"PK\x03\x04")
    (series,), skipped = find_series(scan)
    assert [series.slice_hu(k)[0, 0] for k in range(3)] == [-1024, -1023, -1022]
    assert [s.path for s in skipped] == [str(scan / "broken.zip")]
    assert "a broken one" in skipped[0].reason
    again = pickle.loads(pickle.dumps(series.slices[1].file))  # as workers get it
    assert again.read_bytes() == series.slices[1].file.read_bytes()


def test_many_archives_take_few_file_handles(tmp_path: Path) -> None:
    for k in range(300):
        (tmp_path / f"{k:03d}.zip").write_bytes(packed("a.dcm"))
    handles = Path("/proc/self/fd")
    before = len(list(handles.iterdir())) if handles.exists() else 0
    files, _ = list_files(tmp_path)
    assert {file.read_bytes() for file in files} == {b"x"} and len(files) == 300
    assert before == 0 or len(list(handles.iterdir())) < before + 10


def test_by_products_are_left_out_without_a_word(tmp_path: Path) -> None:
    names = [
        "a/1.dcm",
        "a/._1.dcm",
        ".DS_Store",
        "a\\Thumbs.db",
        "desktop.ini",
        "~$b.xls",
        "DICOMDIR",
    ]
    names += ["__MACOSX/a/2.dcm", "b\\", "@eaDir/1.dcm"]
    (tmp_path / "set.zip").write_bytes(packed(*names))
    for name in (*names[:2], *names[4:8]):
        (tmp_path / "folder" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "folder" / name).write_bytes(b"x")
    assert names_in(tmp_path / "set.zip") == ["a/1.dcm"]
    assert names_in(tmp_path / "folder") == ["a/1.dcm"]


def test_archives_that_are_not_read_are_named_with_what_to_do(tmp_path: Path) -> None:
    inner = packed("1.dcm")
    (tmp_path / "outer.zip").write_bytes(packed("in.zip", "in.tar.gz", content=inner))
    for name in ("a.tar", "b.TGZ", "c.7z", "d.rar", "e.tar.gz"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "f.nii.gz").write_bytes(b"x")
    other, nested = "an archive of another kind than zip", "an archive in an archive"
    assert reasons_in(tmp_path) == {
        **{n: f"{other}; unpack it" for n in ("a.tar", "b.TGZ", "c.7z", "d.rar", "e.tar.gz")},
        "f.nii.gz": "a NIfTI volume, no DICOM file",
        "outer.zip/in.tar.gz": f"{nested}; unpack it",
        "outer.zip/in.zip": f"{nested}; unpack it",
    }
    with pytest.raises(
        LidcError, match=f"e.tar.gz: .*found {other}; unpack it and give the folder"
    ):
        list_files(tmp_path / "e.tar.gz")


def test_members_that_cannot_be_unpacked_cost_only_themselves(tmp_path: Path) -> None:
    data = packed("a.dcm", "b.dcm", "c.dcm")
    directory = data.index(b"PK\x01\x02")
    encrypted, other_method = directory + 8, data.index(b"PK\x01\x02", directory + 4) + 10
    changed = bytearray(data)
    changed[encrypted], changed[other_method] = 1, 9  # Deflate64
    (tmp_path / "x.zip").write_bytes(changed)
    assert reasons_in(tmp_path) == {
        "x.zip/a.dcm": "encrypted; unpack it",
        "x.zip/b.dcm": "packed by a method that is not read (9); unpack it",
    }
    assert [file.name for file in list_files(tmp_path)[0]] == ["c.dcm"]


def test_files_in_gzip_are_read_up_to_a_limit(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice(stored=np.arange(30, dtype=np.int16).reshape(6, 5))
    (scan / "1.dcm.gz").write_bytes(gzip.compress(path.read_bytes()))
    size = path.stat().st_size
    path.unlink()
    assert only(scan).slice_hu(0)[0, 1] == -1023
    file = SourceFile(scan / "1.dcm.gz")
    with file.open() as stream:
        assert (file.suffix, file.size_of(stream)) == (".dcm", size)
    with pytest.raises(LidcError, match="more than 100 bytes unpacked"):
        file.read_bytes(100)
    (scan / "2.gz").write_bytes(gzip.compress(b"cut off")[:-6])
    assert "cut off gzip" in find_series(scan)[1][0].reason


def test_a_file_is_known_by_its_first_bytes(write_slice: WriteSlice, scan: Path) -> None:
    path = write_slice()
    content = path.read_bytes()
    path.unlink()
    for name, data in {
        "gzip.dcm": gzip.compress(content),
        "plain.gz": content,
        "dicom.zip": content,
        "patient1": packed("1", content=content),
    }.items():
        (scan / name).write_bytes(data)
        assert only(scan).shape_zyx == (1, 6, 5), name
        (scan / name).unlink()
    (scan / "marks.dcm").write_bytes(b'<?xml version="1.0"?>')
    (scan / "scan.dcm").write_bytes(packed("1", content=content))
    assert [s.reason.removeprefix("no DICOM file but ") for s in find_series(scan)[1]] == [
        "XML",
        "a zip archive or a workbook",
    ]
    (scan / "marks.dcm").unlink()
    (scan / "scan.dcm").unlink()
    (scan / "diagnosis").write_bytes(packed("[Content_Types].xml", "xl/workbook.xml"))
    assert names_in(scan) == ["diagnosis"]  # a document is no archive of files
    (scan / "diagnosis").write_bytes(packed("1", content=content)[:-30])
    assert "a broken one" in reasons_in(scan)["diagnosis"]


def test_marks_are_read_from_archives_in_a_folder_and_from_gzip(tmp_path: Path, xml: Any) -> None:
    content = xml.message()
    folder = tmp_path / "marks"
    folder.mkdir()
    (folder / "1.xml.GZ").write_bytes(gzip.compress(content))
    (uid,), skipped = find_annotations(folder)
    assert not skipped
    assert read_annotations(folder / "1.xml.GZ").series_uid == uid
    (folder / "1.xml.GZ").unlink()
    (folder / "1.zip").write_bytes(packed("a/1.XML", content=content))
    assert list(find_annotations(folder)[0]) == [uid]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.dcm")
    (tmp_path / "b.xml").symlink_to("/dev/zero")
    (tmp_path / "c.xml").symlink_to(tmp_path / "gone")
    no_file = "cannot be read: a pipe, a socket or a device, no file"
    assert reasons_in(tmp_path) == {
        "a.dcm": no_file,
        "b.xml": no_file,
        "c.xml": "cannot be read: No such file or directory",
    }
    with pytest.raises(LidcError, match="found a pipe, a socket or a device"):
        list_files(tmp_path / "a.dcm")


def test_names_are_shown_without_control_characters(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(packed("a\x1b[31m\n.dcm"))
    assert names_in(tmp_path) == ["x.zip/a\\x1b[31m\\n.dcm"]
    assert str(SourceFile(Path("a\udcff"))) == "a\\udcff"


def test_the_lock_of_a_process_that_writes_there_is_no_file_of_a_collection(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").touch()
    with alone_in(tmp_path):
        assert [file.path.name for file in list_files(tmp_path)[0]] == ["1.dcm"]
