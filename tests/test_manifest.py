"""What is written is read back, and a bad row is named by line and column."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.errors import ManifestError, OutputError
from lungdx_paddle.manifest import (
    COLUMNS,
    Manifest,
    ManifestRow,
    read_manifest,
    read_rows,
    write_manifest,
)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_rows_come_back_as_they_were_written(write_crops: Callable[..., Path]) -> None:
    path = write_crops(patients=2)
    rows = read_manifest(path).rows
    write_manifest(path, rows)
    assert read_manifest(path).rows == rows
    assert rows[0].malignancy_ratings == (1, 1, 1, 1)
    assert (rows[0].source, rows[0].crop, rows[0].extra) == ("phantom", "paper", {})


def test_optional_columns_are_written_only_where_a_row_uses_them(
    tmp_path: Path, crop_rows: list[ManifestRow]
) -> None:
    plain = [replace(row, source="") for row in crop_rows]
    header = lambda: (tmp_path / "m.csv").read_text(encoding="utf-8").splitlines()[0]  # noqa: E731
    write_manifest(tmp_path / "m.csv", plain)
    assert header() == ",".join(COLUMNS)
    first = replace(plain[0], sop_uid="1.2.3", nodule_diagnoses=(1, 3), nodule_methods=(0, 2))
    mixed = [replace(first, extra={"note": "größer, ☃"}), *plain[1:]]
    write_manifest(tmp_path / "m.csv", mixed)
    assert header() == ",".join([*COLUMNS, "sop_uid", "nodule_diagnoses", "nodule_methods", "note"])
    assert ",1.2.3,1;3,0;2," in (tmp_path / "m.csv").read_text(encoding="utf-8")
    rows = read_rows(tmp_path / "m.csv")
    assert rows[0] == mixed[0]
    assert rows[1] == replace(plain[1], extra={"note": ""})


def test_a_comment_may_stand_above_the_header_and_nowhere_else(
    tmp_path: Path, crop_rows: list[ManifestRow]
) -> None:
    rows = [replace(row, image=f"#{row.image}", primary_site="a\n# b") for row in crop_rows]
    path = tmp_path / "rows.csv"
    write_manifest(path, rows, comment='digest "0a1b", 80 crops')
    assert path.read_text(encoding="utf-8").startswith('# digest "0a1b", 80 crops\nimage,')
    assert read_rows(path) == tuple(rows)
    edit(path, ",0.7,", ",0,")
    with pytest.raises(ManifestError, match="rows.csv:4, column pixel_spacing_mm"):
        read_rows(path)


def test_rows_can_be_read_where_their_images_are_not(
    tmp_path: Path, crop_rows: list[ManifestRow]
) -> None:
    write_manifest(tmp_path / "rows.csv", crop_rows)
    assert read_rows(tmp_path / "rows.csv") == tuple(crop_rows)


def test_a_manifest_describes_itself(crop_rows: list[ManifestRow]) -> None:
    rows = (replace(crop_rows[0], crop="context"), *crop_rows[1:])
    manifest = Manifest(Path("crops"), rows)
    assert repr(manifest) == (
        "<Manifest crops: 80 crops, 16 nodules, 8 patients, gray 20/2040 HU, "
        "crop rule context, paper>"
    )
    assert (manifest.grays, manifest.crop_rules) == (["20/2040 HU"], ["context", "paper"])
    assert manifest.select([5, 1, 1]).rows == (rows[5], rows[1], rows[1])


def test_crops_of_stretched_pictures_are_no_hu_and_those_of_an_earlier_version_are_stretched(
    crop_rows: list[ManifestRow], tmp_path: Path
) -> None:
    kinds = [("lidc", ""), ("lidc-slices", "exact-voi"), ("lidc-slices", "stretched")]
    kinds += [("lidc-slices", ""), ("", "")]
    rows = [replace(r, source=s, hu_from=hu) for r, (s, hu) in zip(crop_rows, kinds)]
    write_manifest(tmp_path / "rows.csv", rows)
    read = read_rows(tmp_path / "rows.csv")
    assert read == tuple(rows)
    hu, stretched = "20/2040 HU", "stretched"
    assert [row.gray for row in read] == [hu, hu, stretched, stretched, hu]
    assert Manifest(Path(), read).grays == [hu, stretched]


def test_one_phantom_makes_a_manifest_of_phantoms(crop_rows: list[ManifestRow]) -> None:
    lidc = tuple(replace(row, source="lidc") for row in crop_rows)
    unknown = tuple(replace(row, source="") for row in crop_rows)
    assert Manifest(Path(), lidc).source == "lidc"
    assert Manifest(Path(), (*unknown, *lidc)).source == "lidc"
    assert Manifest(Path(), (*lidc, crop_rows[0])).source == "phantom"
    assert Manifest(Path(), unknown).source == ""


def test_whole_numbers_as_pandas_writes_them_and_backslashes_are_read(
    write_crops: Callable[..., Path],
) -> None:
    path = write_crops(patients=1)
    rows = read_manifest(path).rows
    edit(path, "crops/P00/n00_s00.jpg,P00,1.2.0,0,", "crops\\P00\\n00_s00.jpg,P00,1.2.0,0.0,")
    edit(path, ",3,1;1;1;1,1,", ",3.0,1.0;1;1;1,1.0,")
    assert read_manifest(path).rows == rows


@pytest.fixture
def as_pandas(write_crops: Callable[..., Path]) -> tuple[Path, list[dict[str, str]]]:
    """A manifest's path and its cells, as a table that other programs may write."""
    path = write_crops(patients=1)
    edit(path, "1;1;1;1,1,,", "1;1;1;1,,,")
    with path.open(encoding="utf-8", newline="") as file:
        return path, list(csv.DictReader(file))


def test_a_manifest_through_pandas_is_the_same(
    as_pandas: tuple[Path, list[dict[str, str]]],
) -> None:
    path, records = as_pandas
    rows = read_manifest(path).rows
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["", *(f" {name.title()} " for name in records[0])])
        for number, record in enumerate(records):
            cells = {**record, "primary_site": "nan", "readers": f"{record['readers']}.0"}
            cells["diagnosis"] = f"{record['diagnosis']}.0" if record["diagnosis"] else "NaN"
            writer.writerow([number, *cells.values()])
    assert read_manifest(path).rows == rows
    assert rows[0].diagnosis is None


def test_a_manifest_through_a_german_excel_is_the_same(
    as_pandas: tuple[Path, list[dict[str, str]]],
) -> None:
    path, records = as_pandas
    rows = read_manifest(path).rows
    numbers = ("z_mm", "pixel_spacing_mm", "scale")
    with path.open("w", encoding="utf-16", newline="") as file:
        file.write("sep=;\r\n")
        writer = csv.writer(file, delimiter=";")
        writer.writerow([*records[0], ""])
        for record in records:
            commas = {name: record[name].replace(".", ",") for name in numbers}
            writer.writerow([*{**record, **commas}.values(), ""])
        file.write(";" * len(records[0]) + "\r\n")
    assert b"0\0,\x007\0" in path.read_bytes()
    assert read_manifest(path).rows == rows


def test_a_manifest_may_be_a_workbook(as_pandas: tuple[Path, list[dict[str, str]]]) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    path, records = as_pandas
    rows = read_manifest(path).rows
    book = openpyxl.Workbook()
    for cells in (records[0], *(record.values() for record in records)):
        book.active.append(
            [float(c) if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", c) else c for c in cells]
        )
    book.save(path.with_suffix(".xlsx"))
    assert read_manifest(path.with_suffix(".xlsx")).rows == rows


def test_one_image_under_two_spellings_is_caught(write_crops: Callable[..., Path]) -> None:
    path = write_crops(patients=1)
    edit(path, "crops/P00/n00_s01.jpg", ".\\crops\\P00/./n00_s00.jpg")
    with pytest.raises(ManifestError, match=r"'crops/P00/n00_s00.jpg' a second time"):
        read_manifest(path)


def test_one_file_in_two_cases_is_caught_where_the_disk_knows_one(
    write_crops: Callable[..., Path],
) -> None:
    path = write_crops(patients=1)
    crops = path.parent / "crops" / "P00"
    edit(path, "crops/P00/n00_s01.jpg", "crops/P00/N00_s00.jpg")
    if not (crops / "N00_s00.jpg").exists():
        os.link(crops / "n00_s00.jpg", crops / "N00_s00.jpg")  # as if this disk were one
    with pytest.raises(ManifestError, match="one file as 'crops/P00/n00_s00.jpg' and as"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("image,", "image,nodule,", "several named nodule"),
        (",P00,", ",nan,", "column patient_id: expected a name"),
        (",P00,", ",1E+05,", ":2, column patient_id: .*no number or date that a spreadsheet"),
        (",0.7,", ",7. Jan,", ":2, column pixel_spacing_mm: .*found '7. Jan'"),
        (",1;1;1;1,", ",1;1;1;1,,,,,x,", "cells, more than the header's"),
        (",1;1;1;1,", ',"1;1;1;1,', "unexpected end of data"),
    ],
)
def test_what_a_spreadsheet_has_spoilt_is_named(
    write_crops: Callable[..., Path], old: str, new: str, message: str
) -> None:
    path = write_crops(patients=1)
    edit(path, old, new)
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)


def test_points_beside_decimal_commas_may_be_of_thousands(
    as_pandas: tuple[Path, list[dict[str, str]]],
) -> None:
    path, records = as_pandas
    records[0] |= {"pixel_spacing_mm": "0,7", "window_width": "2.040"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, records[0], delimiter=";")
        writer.writeheader()
        writer.writerows(records)
    with pytest.raises(ManifestError, match=":2, column window_width: .*'2.040' beside both"):
        read_manifest(path)


def test_a_device_is_no_manifest() -> None:
    with pytest.raises(ManifestError, match="found a pipe, a socket or a device"):
        read_manifest(os.devnull)


def test_a_folder_stands_for_the_manifest_in_it(write_crops: Callable[..., Path]) -> None:
    path = write_crops(patients=1)
    assert read_manifest(path.parent).rows == read_manifest(path).rows


def test_columns_may_come_in_any_order_and_cells_may_hold_line_breaks(
    write_crops: Callable[..., Path],
) -> None:
    path = write_crops(patients=1)
    rows = read_manifest(path).rows
    rows = tuple(replace(row, primary_site="two\nlines, \u2028 and a comma") for row in rows)
    names = list(reversed(COLUMNS))
    write_manifest(path, rows)
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
    assert read_manifest(path).rows == tuple(replace(row, source="") for row in rows)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",1;1;1;1,", ",1;1;9;1,", r":2, column malignancy_ratings: expected ratings from 1 to 5"),
        ("crops/P00/n00_s00.jpg", "../x.jpg", r"column image: expected a path below the manifest"),
        ("crops/P00/n00_s00.jpg", "/etc/x.jpg", r"column image: expected a path below"),
        ("crops/P00/n00_s00.jpg", "C:/x.jpg", r"column image: expected a path below"),
        ("crops/P00/n00_s00.jpg", "a/../../x.jpg", r"column image: expected a path below"),
        ("crops/P00/n00_s01.jpg", "crops/P00/n00_s00.jpg", r"a second time \(first on line 2\)"),
        ("crops/P00/n00_s00.jpg", "crops/gone.jpg", r"1 missing, the first 'crops/gone.jpg'"),
        (",P00,", ",,", r"column patient_id"),
        (",0.7,", ",0,", r"column pixel_spacing_mm: expected a spacing in mm from 0.1 to 5"),
        (",0.7,", ",nan,", r"column pixel_spacing_mm"),
        (",1.2.0,0,", ",1.2.0,0.5,", r"column nodule: expected a whole number from 0"),
        (",3,1;1;1;1,", f",{10**30},1;1;1;1,", r"column readers: expected a number of readers"),
        (",1,20,", ",1.5,20,", r"column scale: expected a factor above 0 and up to 1"),
        (",1,,phantom", ",7,,phantom", r"column diagnosis: expected 0, 1, 2, 3 or nothing"),
        (",1,,phantom", "", r"column diagnosis.* found a shorter row"),
        ("image,", "picture,", r"found no image"),
    ],
)
def test_a_bad_row_is_named(
    write_crops: Callable[..., Path], old: str, new: str, message: str
) -> None:
    path = write_crops(patients=1)
    edit(path, old, new)
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)


def test_a_manifest_without_rows_or_without_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="a header and no rows"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ManifestError, match="not UTF-8"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="No such file"):
        read_manifest(tmp_path / "gone.csv")


def test_what_cannot_be_written_leaves_the_earlier_manifest_whole(
    write_crops: Callable[..., Path], full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = write_crops(patients=1)
    rows = read_manifest(path).rows
    with full_disk(100), pytest.raises(OutputError, match="a place that can be written to"):
        write_manifest(path, rows[:1])
    assert read_manifest(path).rows == rows


@pytest.mark.lidc
def test_the_real_crops_are_in_this_format(lidc32: Path) -> None:
    manifest = read_manifest(lidc32)
    assert len(manifest) == 11409
    assert sum(row.readers >= 3 for row in manifest.rows) == 6064
    assert (manifest.grays, manifest.crop_rules) == (["20/2040 HU"], ["paper"])
