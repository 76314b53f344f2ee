"""The XML files of a collection: each series counts once, and what does not count is told."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import find_annotations
from lungdx_paddle.lidc.annotations import COPY, LeftOutXml

Points = list[tuple[int, int]]


@pytest.fixture
def outline(square: Callable[[int, int, int], Points]) -> Points:
    return square(10, 20, 4)


@pytest.fixture
def files(xml: Any, outline: Points) -> dict[str, bytes]:
    """A small collection: two series, one of them in three files, and what is to be skipped."""
    nodule = xml.nodule(xml.roi(outline))
    return {
        "a/001.xml": xml.message(nodule, series="1.1"),
        "a/002.XML": xml.message(nodule, nodule, series="1.1"),
        "b/003.xml": xml.message(nodule, nodule, series="1.1"),
        "b/004.xml": xml.message(series="1.2"),
        "b/005.xml": xml.message(root="IdriReadMessage"),
        "b/006.xml": xml.message(nodule)[:300],
        "b/1-001.dcm": b"no XML",
    }


def test_marks_are_known_by_their_content(tmp_path: Path, xml: Any, outline: Points) -> None:
    content = xml.message(xml.nodule(xml.roi(outline)))
    utf16 = content.decode().replace("UTF-8", "UTF-16").encode("utf-16")
    for name, data in (("069.txt", content), ("069", gzip.compress(content)), ("6.dat", utf16)):
        folder = tmp_path / f"in {name}"
        folder.mkdir()
        (folder / name).write_bytes(data)
        (folder / "readme.txt").write_text("no marks")
        found, skipped = find_annotations(folder)
        assert list(found) == ["1.2.3"] and not skipped
        assert find_annotations(folder / name)[0]["1.2.3"].content == found["1.2.3"].content


def test_a_file_that_was_named_is_read_whatever_it_is(tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text("x,y")
    _, (left_out,) = find_annotations(tmp_path / "marks.csv")
    assert isinstance(left_out, LeftOutXml)
    assert "found no XML" in left_out.reason


def check(source: Path) -> None:
    found, skipped = find_annotations(source)
    assert list(found) == ["1.1", "1.2"]
    # The most complete file of a series counts; of equal ones the first.
    assert found["1.1"].source == f"{source}/a/002.XML"
    reasons = {Path(s.path).name: s.reason for s in skipped}
    assert list(reasons) == ["001.xml", "003.xml", "005.xml", "006.xml"]
    assert reasons["003.xml"] == (
        f"one more XML file of a series, whose most complete one is used: {source}/a/002.XML"
    )
    assert "a chest X-ray reading" in reasons["005.xml"]
    assert "cut off" in reasons["006.xml"]
    assert not any(reason.startswith(str(source)) for reason in reasons.values())


def test_a_folder_is_searched_and_each_series_counts_once(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    check(tmp_path)


def test_a_zip_archive_is_searched_in_place(tmp_path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(tmp_path / "xml.zip", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    check(tmp_path / "xml.zip")


def test_a_broken_archive_is_an_error(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = tmp_path / "xml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("001.xml", files["a/001.xml"])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(LidcError, match="expected a zip archive, found a broken one"):
        find_annotations(path)


def test_a_damaged_member_costs_only_itself(tmp_path: Path, files: dict[str, bytes]) -> None:
    path = tmp_path / "xml.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("001.xml", files["a/001.xml"])
        archive.writestr("002.xml", files["b/004.xml"])
    path.write_bytes(
        path.read_bytes().replace(b"1.2.3 </Ser", b"1.2.4 </Ser").replace(b"1.8.1", b"1.8.2", 1)
    )
    found, skipped = find_annotations(path)
    assert list(found) == ["1.2"]
    assert "Bad CRC-32" in skipped[0].reason


def left_out(folder: Path, **contents: bytes) -> dict[str, Any]:
    for name, data in contents.items():
        (folder / f"{name}.xml").write_bytes(data)
    return {Path(file.path).name: file for file in find_annotations(folder)[1]}


def test_a_copy_that_says_the_same_is_no_doubt(tmp_path: Path, xml: Any, outline: Points) -> None:
    content = xml.message(xml.nodule(xml.roi(outline)))
    files = left_out(tmp_path, a=content, b=content.replace(b" uid=", b"\n uid="))
    assert files["b.xml"].reason == f"{COPY}: {tmp_path}/a.xml"
    assert not isinstance(files["b.xml"], LeftOutXml)


def test_a_corrected_copy_is_named_with_the_file_that_counts(
    tmp_path: Path, xml: Any, outline: Points
) -> None:
    first, corrected = (
        xml.message(xml.nodule(xml.roi(outline), ratings=(rating,) * 9)) for rating in (4, 1)
    )
    (file,) = left_out(tmp_path, a=first, b=corrected).values()
    assert isinstance(file, LeftOutXml)
    assert file.path == f"{tmp_path}/b.xml"
    assert f"counts: {tmp_path}/a.xml, which comes first by name" in file.reason


def test_of_different_files_the_more_complete_one_counts(
    tmp_path: Path, xml: Any, outline: Points
) -> None:
    nodule = xml.nodule(xml.roi(outline))
    (file,) = left_out(tmp_path, a=xml.message(nodule), b=xml.message(nodule, "")).values()
    assert file.path == f"{tmp_path}/a.xml"
    assert f"{tmp_path}/b.xml, which has more reading sessions (2, not 1)" in file.reason


def test_a_file_that_was_refused_is_named_and_an_x_ray_is_not(
    tmp_path: Path, xml: Any, outline: Points
) -> None:
    bad = xml.message(xml.nodule(xml.roi(outline), ratings=(9,) * 9))
    files = left_out(tmp_path, bad=bad, xray=xml.message(root="IdriReadMessage"))
    assert isinstance(files["bad.xml"], LeftOutXml)
    assert "a subtlety from 0 to 5, found '9'" in files["bad.xml"].reason
    assert not isinstance(files["xray.xml"], LeftOutXml)
