"""Files are found in folders and in zip archives, which are never unpacked."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc import Series, find_series

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
