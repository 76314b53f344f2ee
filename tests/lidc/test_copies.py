"""Several files of one slice count once, other pictures of its UID are kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungdx_paddle.lidc import find_series
from lungdx_paddle.lidc.pixels import read_hu
from lungdx_paddle.lidc.slices import Slice

WriteSlice = Callable[..., Path]


def test_copies_of_a_slice_count_once(write_slice: WriteSlice, scan: Path) -> None:
    for name in ("a", "b (copy)", "c"):
        write_slice(0, name=name)
    write_slice(0, name="d", stored=np.ones((6, 5), np.int16))
    write_slice(2.5, name="e")
    (series,), skipped = find_series(scan)
    reasons = [file.reason for file in skipped]
    assert series.index_of(series.sop_uids[0]) == 0
    assert len(series.slices) == 2
    assert [reason.split(" /")[0] for reason in reasons] == [
        "the same SOP instance UID as",
        "the same SOP instance UID as",
        "another picture with the UID and the place of",
    ]


def test_different_slices_of_one_uid_are_no_copies(write_slice: WriteSlice, scan: Path) -> None:
    for number, z_mm in enumerate((0, 2.5, 5, 5)):  # the last: another phase at that place
        stored = np.full((6, 5), number, np.int16)
        write_slice(
            z_mm, name=str(number), stored=stored, SOPInstanceUID="1.9", InstanceNumber=number
        )
    (series,), skipped = find_series(scan)
    assert not skipped
    assert series.volume_hu()[:, 0, 0].tolist() == [-1024, -1023, -1022, -1021]
    assert series.index_of("1.9") is None
    assert (
        "4 different slices carry one SOP instance UID 1.9: marks cannot be placed on them"
        in series.warnings
    )


@pytest.mark.parametrize(
    ("z_mm", "changes"),
    [
        (0.0049, {}),  # 0.0051 and 0.0049 mm are rounded to other hundredths
        (0.0051, {"ImageOrientationPatient": [1, 0, 0, 0, 1, 1e-9]}),
        (0.0051, {"PixelSpacing": [0.8, 0.7000001]}),
    ],
)
def test_copies_that_were_written_again_are_known_by_nearness(
    write_slice: WriteSlice, scan: Path, z_mm: float, changes: dict[str, Any]
) -> None:
    write_slice(0.0051, name="a", SOPInstanceUID="1.9")
    write_slice(z_mm, name="b", SOPInstanceUID="1.9", **changes)
    write_slice(2.5, name="c")
    (series,), (copy,) = find_series(scan)
    assert series.warnings == () and len(series.slices) == 2
    assert copy.reason.startswith("the same SOP instance UID")


def test_pixels_are_read_once_of_each_slice_that_may_be_a_copy(
    write_slice: WriteSlice, scan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those with a UID and a place of another one, however many there are."""
    read: list[str] = []

    def counted(s: Slice) -> np.ndarray:
        read.append(s.file.name)
        return read_hu(s)

    monkeypatch.setattr("lungdx_paddle.lidc.copies.read_hu", counted)
    for number in range(9):
        stored = np.full((6, 5), number, np.int16)
        write_slice(0, name=f"{number}", stored=stored, InstanceNumber=number)
    write_slice(2.5, name="far", SOPInstanceUID="1.2.3.1000000")
    write_slice(5, name="other")
    (series,), _ = find_series(scan)
    assert len(series.slices) == 11
    assert read == list("012345678")
