"""LIDC XML files are read as they stand, with every oddity of the collection."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Annotations, read_annotations

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


@pytest.mark.parametrize("rating", ["3", " 3 ", "3.0", "3,0", "+3", "3."])
def test_a_rating_that_a_spreadsheet_wrote_is_read(xml: Any, outline: Points, rating: str) -> None:
    (reading,) = read(xml.message(xml.nodule(xml.roi(outline), ratings=(rating,) * 9))).readings
    assert reading.malignancy == 3


def test_numbers_and_truth_as_programs_write_them_are_read(xml: Any) -> None:
    points = [("312.0", " 3 "), ("313,0", "4"), (314, 5)]
    rois = [xml.roi(points, z="-97,5", inclusion=" true "), xml.roi(points, inclusion="0")]
    (reading,) = read(xml.message(xml.nodule(*rois))).readings
    outline, cut_out = reading.contours
    assert outline.points_xy.tolist() == [[312, 3], [313, 4], [314, 5]]
    assert (outline.z_mm, outline.inclusion, cut_out.inclusion) == (-97.5, True, False)


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
    own = [xml.nodule(xml.roi(outline), name=f"n{number}") for number in range(sessions)]
    annotations = read(xml.message(*own))
    assert annotations.readers == sessions
    assert [reading.reader for reading in annotations.readings] == list(range(sessions))
    assert annotations.warnings == ()


def test_a_fifth_session_that_repeats_another_counts_once(xml: Any, outline: Points) -> None:
    sessions = [xml.nodule(xml.roi(outline), ratings=(rating,) * 9) for rating in (4, 4, 5, 3)]
    annotations = read(xml.message(*sessions, sessions[2]))
    assert [reading.malignancy for reading in annotations.readings] == [4, 4, 5, 3]
    assert annotations.readers == 4
    (warning,) = annotations.warnings
    assert warning.startswith("1 repetition among 5 reading sessions (session 5 is session 3)")


def test_one_of_the_usual_four_that_repeats_another_counts_with_a_word(
    xml: Any, outline: Points
) -> None:
    one, other = xml.nodule(xml.roi(outline)), xml.nodule(xml.roi(outline[:6]))
    annotations = read(xml.message(one, other, one, ""))
    assert len(annotations.readings) == 3
    assert annotations.warnings == (
        "1 repetition among 4 reading sessions (session 3 is session 1): counted all the same",
    )


def test_a_name_that_repeats_stands_for_several_nodules(xml: Any, outline: Points) -> None:
    one = xml.nodule(xml.roi(outline), name="Nodule 001")
    annotations = read(xml.message(one + one, one))
    assert [reading.nodule_id for reading in annotations.readings] == ["Nodule 001"] * 3


@pytest.mark.parametrize("z", ["", "unknown", "nan", "-97;5", "1e308", "1" * 5000])
def test_a_position_that_is_no_number_is_unknown_and_told(
    xml: Any, outline: Points, z: str
) -> None:
    annotations = read(xml.message(xml.nodule(xml.roi(outline, z=z), xml.roi(outline, z="2"))))
    assert [contour.z_mm for contour in annotations.readings[0].contours] == [None, 2]
    (warning,) = annotations.warnings
    assert warning == f"1 outline whose z is no number, such as {z[:20]!r}"


@pytest.mark.parametrize(
    "write",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace("UTF-8", "UTF-16").encode("utf-16"),
        lambda text: text.replace("UTF-8", "ISO-8859-1").encode("latin-1"),
        lambda text: text.replace(' xmlns="http://www.nih.gov"', "").encode(),
        lambda text: (
            text.replace("<", "<a:")
            .replace("<a:/", "</a:")
            .replace("<a:?", "<?")
            .replace("xmlns=", "xmlns:a=")
            .encode()
        ),
        lambda text: text.replace("<roi>", '<roi xmlns="http://other.example">').encode(),
    ],
    ids=["BOM", "UTF-16", "latin-1", "no namespace", "a prefix", "two namespaces"],
)
def test_any_encoding_and_namespace_is_read(
    xml: Any, outline: Points, write: Callable[[str], bytes]
) -> None:
    text = xml.message(xml.nodule(xml.roi(outline), name="n\u00e9")).decode()
    (reading,) = read(write(text)).readings
    assert (reading.nodule_id, len(reading.contours[0].points_xy)) == ("n\u00e9", 13)


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
        (lambda data: data.replace(b"<xCoord>10</xCoord>", b"", 1), "an x and a y for each"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>1,000<"), "found '1,000'"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>10.5<"), "found '10.5'"),
        (lambda data: data.replace(b"<xCoord>10<", b"<xCoord>" + b"1" * 5000 + b"<"), "'1111"),
        (lambda data: data.replace(b">13<", b">8191<").replace(b">23<", b">8191<"), "20000000 pix"),
        (lambda data: data.replace(b">TRUE<", b">maybe<"), "TRUE or FALSE as inclusion, found 'm"),
        (lambda data: data.replace(b"imageSOP_UID>", b"SOP_UID>"), "an imageSOP_UID of each"),
        (lambda data: data.replace(b"roi>", b"rois>"), "outline or a point of nodule 'IL057_1'"),
        (lambda data: data.replace(b"<texture>", b"<margin>4</margin><texture>"), "3 and 4"),
        (lambda data: data + b" " * 2**23, "more than 8388608 bytes"),
        (lambda data: b"\xff" + data, "broken or cut off XML"),
        (lambda data: data.replace(b"UTF-8", b"shift_jis"), "multi-byte encodings"),
        (lambda data: b"<a>" * 10**5 + b"</a>" * 10**5, "found <a>"),
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


def test_a_folder_or_archive_of_one_file_is_that_file(tmp_path: Path, xml: Any) -> None:
    (tmp_path / "069.txt").write_bytes(xml.message(series="1.7"))
    (tmp_path / "readme.txt").write_text("marks of a CT")
    assert read_annotations(tmp_path).series_uid == "1.7"
    with zipfile.ZipFile(tmp_path / "marks.zip", "w") as archive:
        archive.write(tmp_path / "069.txt")
    assert read_annotations(tmp_path / "marks.zip").series_uid == "1.7"
    with pytest.raises(LidcError, match="expected one LIDC XML file, found 2 such files"):
        read_annotations(tmp_path)


def test_what_is_no_xml_is_told_as_that(tmp_path: Path) -> None:
    (tmp_path / "marks.csv").write_text("x,y\n1,2\n")
    with pytest.raises(LidcError, match="found no XML"):
        read_annotations(tmp_path / "marks.csv")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LidcError, match="found nothing; check the path"):
        read_annotations(tmp_path / "069.xml")
