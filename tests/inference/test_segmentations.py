"""A SEG or RTSTRUCT is read whole, and for its own CT only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference import segmentations
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import Series, find_series

Make = Callable[..., Dataset]
Save = Callable[[Dataset], Path]


def test_marks_of_another_ct_are_refused(
    marked_scans: Path, marked: Series, seg: Dataset, make_rtstruct: Make, save: Save
) -> None:
    (other,) = find_series(marked_scans / "PHANTOM-0002")[0]
    square = np.array([[9.5, 9.5], [14.5, 9.5], [14.5, 14.5], [9.5, 14.5]])
    for made in (seg, make_rtstruct(a=[(1, "CLOSED_PLANAR", square)])):
        path = save(made)
        with pytest.raises(LidcError, match=rf"of series {other.series_uid}, found one of "):
            read_segmentation(path).regions(other)
    moved = seg
    moved.FrameOfReferenceUID = "1.2.3"
    with pytest.raises(LidcError, match=r"SEG of frame of reference .*, found one of 1\.2\.3;"):
        read_segmentation(save(moved)).regions(marked)
    del moved.FrameOfReferenceUID, moved.ReferencedSeriesSequence
    moved.StudyInstanceUID = "1.2.4"
    with pytest.raises(LidcError, match=r"SEG of study .*, found one of 1\.2\.4;"):
        read_segmentation(save(moved)).regions(marked)


def test_what_is_none_or_holds_nothing_is_an_error_of_one_line(
    marked: Series, make_rtstruct: Make, tmp_path: Path, save: Save
) -> None:
    text = tmp_path / "text.dcm"
    text.write_text("no DICOM at all")
    for path, found in (
        (tmp_path / "gone", "No such file"),
        (tmp_path, "Is a directory"),
        (text, "found no DICOM file"),
        (marked.slices[0].file.path, "found CT Image Storage"),
    ):
        with pytest.raises(LidcError, match=f"expected a DICOM SEG or RTSTRUCT.*{found}"):
            read_segmentation(path)
    with pytest.raises(LidcError, match="expected a region that lies in the CT, found nothing"):
        read_segmentation(save(make_rtstruct())).regions(marked)
    off = make_rtstruct(a=[(1, "OPEN_PLANAR", np.ones((3, 2)))])
    with pytest.raises(LidcError, match="found none of 1: no closed contour"):
        read_segmentation(save(off)).regions(marked)


def test_a_damaged_file_is_an_error_of_one_line(marked: Series, seg: Dataset, save: Save) -> None:
    whole = save(seg).read_bytes()
    path = save(seg)
    for size in range(200, len(whole) - 2, len(whole) // 40):
        path.write_bytes(whole[:size])
        with pytest.raises(LidcError) as error:
            read_segmentation(path).regions(marked)
        assert "\n" not in str(error.value)


def test_a_file_that_would_fill_the_memory_is_refused(
    marked: Series, seg: Dataset, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentations, "LARGEST_BYTES", 2**10)
    with pytest.raises(LidcError, match="found a header of more than 0 MiB"):
        read_segmentation(save(seg))
