"""The same crop is recognised in another manifest, whatever its file is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.data.matching import match_rows
from lungdx_paddle.manifest import ManifestRow, read_manifest, read_rows, write_manifest


def renamed(rows: list[ManifestRow]) -> list[ManifestRow]:
    return [replace(row, image=f"elsewhere/{i}.jpg") for i, row in enumerate(rows)]


def test_crops_are_found_in_any_order_and_under_any_file_name(
    crop_rows: list[ManifestRow],
) -> None:
    order = np.random.default_rng(0).permutation(len(crop_rows))
    shuffled = [renamed(crop_rows)[i] for i in order]
    assert match_rows(shuffled, crop_rows).tolist() == order.tolist()


def test_another_patient_nodule_series_or_slice_is_another_crop(
    crop_rows: list[ManifestRow],
) -> None:
    row = crop_rows[0]
    others = [
        replace(row, patient_id="NEW"),
        replace(row, nodule=7),
        replace(row, series_uid="1.2.99"),
        replace(row, z_mm=1.25),
    ]
    assert match_rows(others, crop_rows).tolist() == [-1] * 4
    assert match_rows([replace(row, series_uid="")], crop_rows).tolist() == [0]


def test_positions_are_compared_by_nearness_not_by_how_they_are_written(
    tmp_path: Path, crop_rows: list[ManifestRow]
) -> None:
    row = replace(crop_rows[0], z_mm=-125.0)
    write_manifest(tmp_path / "a.csv", [row])
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert ",-125," in text
    (tmp_path / "b.csv").write_text(text.replace(",-125,", ",-125.0,"), encoding="utf-8")
    known = read_rows(tmp_path / "b.csv")
    assert match_rows(read_rows(tmp_path / "a.csv"), known).tolist() == [0]
    for z_mm, found in ((-124.96, 0), (-125.04, 0), (-124.94, -1), (-125.06, -1)):
        assert match_rows([replace(row, z_mm=z_mm)], known).tolist() == [found], z_mm


def test_the_uid_of_the_slice_decides_where_both_have_one(crop_rows: list[ManifestRow]) -> None:
    row = replace(crop_rows[0], sop_uid="1.2.3")
    assert match_rows([replace(row, z_mm=None)], [row]).tolist() == [0]
    assert match_rows([replace(row, z_mm=77.0)], [row]).tolist() == [0]
    assert match_rows([replace(row, sop_uid="1.2.4")], [row]).tolist() == [-1]
    assert match_rows([replace(row, sop_uid="")], [row]).tolist() == [0]


def test_without_uid_and_position_only_equal_pixels_are_the_same_crop(
    crop_rows: list[ManifestRow],
) -> None:
    known = [replace(row, z_mm=None) for row in crop_rows[:3]]
    rows = renamed([known[1], replace(known[2], patient_id="NEW"), crop_rows[0]])
    assert match_rows(rows, known).tolist() == [-1, -1, -1]
    found = match_rows(rows, known, [b"1", b"2", b"0"], [b"0", b"1", b"2"])
    assert found.tolist() == [1, -1, 0]


def test_positions_that_differ_outweigh_equal_pixels(crop_rows: list[ManifestRow]) -> None:
    assert match_rows(crop_rows[:1], crop_rows[1:2], [b"black"], [b"black"]).tolist() == [-1]


def test_nothing_is_found_in_nothing(crop_rows: list[ManifestRow]) -> None:
    assert match_rows(crop_rows[:2], []).tolist() == [-1, -1]
    assert match_rows([], crop_rows).shape == (0,)


@pytest.mark.lidc
def test_real_crops_without_position_match_by_their_pixels_only(lidc32: Path) -> None:
    rows = read_manifest(lidc32).rows
    placed = np.array([row.z_mm is not None for row in rows])
    found = match_rows(rows, rows)
    assert (found[placed] == np.flatnonzero(placed)).all()
    assert (found[~placed] == -1).all()


def test_of_several_crops_of_one_slice_the_one_with_the_same_pixels_is_meant(
    crop_rows: list[ManifestRow],
) -> None:
    twice = [crop_rows[0], replace(crop_rows[0], image="other.jpg")]
    assert match_rows(twice, twice, ["a", "b"], ["a", "b"]).tolist() == [0, 1]
    assert match_rows(twice, twice[::-1], ["a", "b"], ["b", "a"]).tolist() == [1, 0]
    assert match_rows(twice, twice, ["a", "a"], ["a", "a"]).tolist() == [0, 1]
    assert match_rows(twice, twice[:1], ["a", "b"], ["a"]).tolist() == [0, 0]
    assert match_rows(twice, twice).tolist() == [0, 1]
