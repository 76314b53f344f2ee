"""LIDC XML files are read as they stand, with every oddity of the collection."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Annotations, find_annotations, read_annotations

Points = list[tuple[int, int]]
BOMB = '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]>'
EXTERNAL = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>'


@pytest.fixture
def outline(square: Callable[[int, int, int], Points]) -> Points:
    return square(10, 20, 4)


def read(data: bytes) -> Annotations:
    return read_annotations(("069.xml", data))


def test_a_reading_is_verbatim(xml: Any, outline: Points) -> None:
    first = xml.nodule(
        xml.roi(outline, sop=" 1.1 ", z="-125.0 "),
        xml.roi(outline[:3], sop="1.2", z="-122.5", inclusion="FALSE"),
        ratings=(5, 1, 6, 3, 3, 3, 4, 5, 5),
        name="Nodule 001",
    )
    annotations = read(xml.message("", first, series="1.2.3"))
    assert (annotations.series_uid, annotations.study_uid) == ("1.2.3", "1.2")
    assert (annotations.readers, annotations.source) == (2, "069.xml")
    (reading,) = annotations.readings
    assert (reading.reader, reading.nodule_id, reading.malignancy) == (1, "Nodule 001", 5)
    assert reading.characteristics["calcification"] == 6
    assert list(reading.characteristics)[0] == "subtlety" and len(reading.characteristics) == 9
    inclusion, exclusion = reading.contours
    assert (inclusion.sop_uid, inclusion.z_mm, inclusion.inclusion) == ("1.1", -125.0, True)
    assert [tuple(point) for point in inclusion.points_xy] == outline
    assert inclusion.points_xy.dtype == "int32"
    assert (exclusion.sop_uid, exclusion.inclusion) == ("1.2", False)


def test_a_point_is_a_nodule_under_3_mm_whatever_its_characteristics(xml: Any) -> None:
    point = xml.roi([(7, 8)], z="3")
    annotations = read(
        xml.message(
            xml.nodule(point, ratings=None, name="a"),
            xml.nodule(point, ratings=(), name="b"),
            xml.nodule(point, ratings=(0,) * 9, name="c"),
        )
    )
    assert annotations.readings == ()
    assert [mark.nodule_id for mark in annotations.small_nodules] == ["a", "b", "c"]
    mark = annotations.small_nodules[2]
    assert (mark.reader, mark.sop_uid, mark.z_mm, mark.xy) == (2, "1.1", 3.0, (7, 8))


@pytest.mark.parametrize("ratings", [None, (), (0,) * 9, ("",) * 9])
def test_an_outline_without_ratings_is_a_reading_without_ratings(
    xml: Any, outline: Points, ratings: Any
) -> None:
    (reading,) = read(xml.message(xml.nodule(xml.roi(outline), ratings=ratings))).readings
    assert reading.characteristics == {}
    assert reading.malignancy is None


def test_a_rating_that_a_spreadsheet_wrote_is_read(xml: Any, outline: Points) -> None:
    (reading,) = read(xml.message(xml.nodule(xml.roi(outline), ratings=("3.0",) * 9))).readings
    assert reading.malignancy == 3


def test_single_points_beside_outlines_are_kept(xml: Any, outline: Points) -> None:
    rois = xml.roi(outline), xml.roi([(3, 4)], sop="1.2")
    (reading,) = read(xml.message(xml.nodule(*rois))).readings
    assert [len(contour.points_xy) for contour in reading.contours] == [13, 1]


def test_non_nodules_are_marks(xml: Any) -> None:
    annotations = read(xml.message(xml.non_nodule(3, 4), xml.non_nodule(5, 6)))
    assert [(mark.reader, mark.xy) for mark in annotations.non_nodules] == [
        (0, (3, 4)),
        (1, (5, 6)),
    ]


@pytest.mark.parametrize("sessions", [3, 4, 8])
def test_any_number_of_sessions_is_read(xml: Any, outline: Points, sessions: int) -> None:
    annotations = read(xml.message(*[xml.nodule(xml.roi(outline))] * sessions))
    assert annotations.readers == sessions
    assert [reading.reader for reading in annotations.readings] == list(range(sessions))


def test_a_name_that_repeats_stands_for_several_nodules(xml: Any, outline: Points) -> None:
    one = xml.nodule(xml.roi(outline), name="Nodule 001")
    annotations = read(xml.message(one + one, one))
    assert [reading.nodule_id for reading in annotations.readings] == ["Nodule 001"] * 3


def test_a_position_that_is_no_number_is_unknown(xml: Any, outline: Points) -> None:
    for z in ("", "unknown", "nan"):
        (reading,) = read(xml.message(xml.nodule(xml.roi(outline, z=z)))).readings
        assert reading.contours[0].z_mm is None


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda data: data[: len(data) // 2], "broken or cut off XML"),
        (lambda data: b"", "broken or cut off XML"),
        (lambda data: data.replace(b"\n", BOMB.encode(), 1), "document type or entity"),
        (lambda data: data.replace(b"\n", EXTERNAL.encode(), 1), "document type or entity"),
        (lambda data: data.replace(b"LidcRead", b"IdriRead"), "a chest X-ray reading"),
        (lambda data: data.replace(b"LidcRead", b"Other"), "found <.*OtherMessage>"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>ten<"), "'ten'"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>-1<"), "found -1 to"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>99999<"), "to 99999"),
        (lambda data: data.replace(b"<xCoord>10</xCoord>", b"", 1), "12 x and 13 y"),
        (lambda data: data.replace(b"<malignancy>3", b"<malignancy>6"), "from 0 to 5, found '6'"),
        (lambda data: data.replace(b"<malignancy>3", b"<malignancy>high"), "found 'high'"),
        (lambda data: data.replace(b"<malignancy>3", b"<malignancy>" + b"3" * 5000), "found '333"),
        (lambda data: data.replace(b"SeriesInstanceUid", b"SeriesUid"), "a SeriesInstanceUid"),
        (lambda data: data.replace(b"UTF-8", b"UTF-99"), "unknown encoding"),
    ],
)
def test_a_broken_file_is_one_clear_error(
    xml: Any, outline: Points, spoil: Callable[[bytes], bytes], found: str
) -> None:
    data = xml.message(xml.nodule(xml.roi(outline)))
    with pytest.raises(LidcError, match=f"^069.xml: expected .*{found}") as error:
        read(spoil(data))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="No such file"):
        read_annotations(tmp_path / "069.xml")


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


@pytest.mark.lidc
def test_the_whole_collection_is_read(collection: Any) -> None:
    found, skipped = collection
    assert len(found) == 1018
    kinds = Counter("X-ray" if "X-ray" in s.reason else s.reason[:12] for s in skipped)
    assert kinds == {"X-ray": 283, "one more XML": 17}
    readings = [reading for annotations in found.values() for reading in annotations.readings]
    assert len(readings) == 6862
    assert sum(reading.malignancy is None for reading in readings) == 2
    assert sum(not annotations.readings for annotations in found.values()) == 135
    assert Counter(a.readers for a in found.values()) == {4: 1016, 3: 1, 8: 1}
    contours = [contour for reading in readings for contour in reading.contours]
    assert sum(not contour.inclusion for contour in contours) == 1012
    assert sum(len(contour.points_xy) == 1 for contour in contours) == 64
