"""Rows by column are the rows that were given, in a fraction of the memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.rows import Rows


@pytest.fixture
def listed(crop_rows: list[ManifestRow]) -> list[ManifestRow]:
    """Rows with empty cells, other letters and an extra value that only some have."""
    made = list(crop_rows)
    made[1] = replace(made[1], z_mm=None, extra={"source": "phantom", "note": "größer, ☃"})
    made[2] = replace(made[2], image="bilder/ü.jpg", extra={})
    return made


def test_the_same_rows_come_back(listed: list[ManifestRow]) -> None:
    rows = Rows.of(listed)
    assert list(rows) == listed and rows == tuple(listed)
    assert rows[-1] == listed[-1] and rows[2:7:2] == tuple(listed[2:7:2])
    assert len(rows) == len(listed)
    with pytest.raises(IndexError):
        rows[len(listed)]


def test_a_selection_has_its_rows_in_its_order(listed: list[ManifestRow]) -> None:
    rows = Rows.of(listed)
    assert list(rows.select([5, 1, 1])) == [listed[5], listed[1], listed[1]]
    assert list(rows.select([5, 1, 1]).select(np.array([1]))) == [listed[1]]
    assert list(rows.select([])) == []


def test_groups_count_in_order_of_appearance(listed: list[ManifestRow]) -> None:
    rows = Rows.of(listed).select(range(len(listed) - 1, -1, -1))
    group, first = rows.groups("patient_id", "nodule")
    keys = [row.nodule_key for row in rows]
    distinct = list(dict.fromkeys(keys))
    assert [distinct[g] for g in group] == keys
    assert [keys[i] for i in first] == distinct


def test_a_number_follows_from_columns(listed: list[ManifestRow]) -> None:
    rows = Rows.of(listed)
    found = rows.derive(lambda readers, nodule: 10 * nodule + readers, "readers", "nodule")
    assert found.tolist() == [10 * row.nodule + row.readers for row in listed]


def test_no_rows_are_rows() -> None:
    assert list(Rows.of([])) == [] and len(Rows.of([]).groups("patient_id")[1]) == 0
