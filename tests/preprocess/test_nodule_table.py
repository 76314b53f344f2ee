"""nodules.csv needs the XML files only."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lungdx_paddle.commands.preprocess_scans import table_lines
from lungdx_paddle.errors import LidcError, OutputError
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.preprocess.nodule_table import write_nodule_table


def test_one_row_a_nodule(collection: Path, tmp_path: Path) -> None:
    table = write_nodule_table(collection, tmp_path / "out")
    assert (tmp_path / "out" / "nodules.csv").read_text(encoding="utf-8").splitlines() == [
        "series_uid,nodule,readers,malignancy_ratings,contours",
        "1.2.1,0,4,5;5;5;4,12",
        "1.2.2,0,2,1;2,6",
        "1.2.3,0,1,3,1",
    ]
    assert (table.series, table.nodules, table.readings) == (3, 3, 7)
    assert table_lines(table) == [
        "3 nodules of 7 readings in 3 series",
        "3 series not of LIDC-IDRI: a pixel spacing of 0.7 mm assumed",
    ]


def test_a_folder_without_xml_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "xml").mkdir()
    with pytest.raises(LidcError, match="expected LIDC XML files of CT series, found none"):
        write_nodule_table(tmp_path / "xml", tmp_path / "out")


def test_what_is_doubtful_about_a_file_is_told_with_its_name(
    collection: Path, tmp_path: Path
) -> None:
    first = next((collection / "LIDC-IDRI-0001").rglob("001.xml"))
    text = first.read_text(encoding="utf-8")
    first.write_text(text.replace("position>5.0", "position>?"), encoding="utf-8")
    first.with_name("002.xml").write_text(text.replace(">4</m", ">1</m"), encoding="utf-8")
    first.with_name("003.xml").write_text(text[:300], encoding="utf-8")
    lines = table_lines(write_nodule_table(collection, tmp_path / "out"))
    name = "LIDC-IDRI/LIDC-IDRI-0001/1.2.1"
    assert f"{name}/001.xml: 4 outlines whose z is no number, such as '?'" in lines
    assert any(x.startswith(f"left out: {name}/002.xml: says something else") for x in lines)
    assert any(x.startswith(f"left out: {name}/003.xml: expected a LIDC XML") for x in lines)


def test_an_output_that_is_a_file_is_refused(collection: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out"):
        write_nodule_table(collection, tmp_path / "out")


def test_the_catalogue_knows_the_whole_collection() -> None:
    facts = known_series()
    assert len(facts) == 1018
    assert len({series.patient_id for series in facts.values()}) == 1010
    assert all(0.4 < series.pixel_spacing_mm < 1.0 for series in facts.values())


@pytest.mark.lidc
def test_real_marks_from_their_archive(sample_xml: Path, tmp_path: Path) -> None:
    """40 patients; tests/lidc/test_collection.py has the nodules of all 1018 series."""
    table = write_nodule_table(sample_xml, tmp_path / "out")
    assert (table.series, table.unknown, table.readings, table.skipped) == (42, 0, 409, ())
    with open(tmp_path / "out" / "nodules.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == table.nodules == 164
    assert sum(row["readers"] == "4" for row in rows) == 57
    assert rows[0]["malignancy_ratings"] == "5;5;5;4" and rows[0]["contours"] == "32"
