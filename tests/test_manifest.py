"""The seam: what is written is read back, and a bad row is named by line and column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungdx_paddle.errors import ManifestError, OutputError
from lungdx_paddle.manifest import COLUMNS, read_manifest, write_manifest


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
    assert rows[0].extra == {"source": "phantom"}


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
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(records)
    assert read_manifest(path).rows == tuple(replace(row, extra={}) for row in rows)


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
        (",0.7,", ",0,", r"column pixel_spacing_mm: expected a spacing in mm above 0"),
        (",0.7,", ",nan,", r"column pixel_spacing_mm"),
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
    write_crops: Callable[..., Path],
) -> None:
    path = write_crops(patients=1)
    rows = read_manifest(path).rows
    (path.parent / "manifest.csv.new").mkdir()
    with pytest.raises(OutputError, match="expected a place that can be written to"):
        write_manifest(path, rows[:1])
    assert read_manifest(path).rows == rows


@pytest.mark.lidc
def test_the_real_crops_are_in_this_format(lidc32: Path) -> None:
    manifest = read_manifest(lidc32)
    assert len(manifest) == 11409
    assert sum(row.readers >= 3 for row in manifest.rows) == 6064
    assert manifest.windows == [(20.0, 2040.0)]
