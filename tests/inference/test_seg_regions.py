"""A segment is where its frames say, whichever program wrote them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.regions import Region, patient_mm

Make = Callable[..., Dataset]
Save = Callable[[Dataset], Path]


def drawn(region: Region) -> np.ndarray:
    """Its pixels on all slices of the series."""
    return np.stack([region.mask(index) for index in range(len(region.series.slices))])


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_a_region_has_the_pixels_of_its_segment(
    marked: Series, masks: np.ndarray, make_seg: Make, save: Save, kind: str
) -> None:
    marks = read_segmentation(save(make_seg(masks, kind)))
    assert marks.series_uids == (marked.series_uid,)
    regions = marks.regions(marked)
    assert [(r.number, r.name, r.origin) for r in regions] == [
        (1, "ball", "SEG"),
        (2, "bar", "SEG"),
    ]
    for region, its in zip(regions, masks.T):
        assert (drawn(region) == its.T).all()
        halves = ("pixels of a half and more were taken of a fractional segment",)
        assert region.doubts == (halves if kind == "FRACTIONAL" else ())


def test_our_pixels_are_those_that_highdicom_reads(
    marked: Series, seg: Dataset, save: Save
) -> None:
    path = save(seg)
    theirs = (
        pytest.importorskip("highdicom")
        .seg.segread(path)
        .get_pixels_by_source_instance(list(marked.sop_uids), assert_missing_frames_are_empty=True)
    )
    for k, region in enumerate(read_segmentation(path).regions(marked)):
        assert (drawn(region) == (theirs[..., k] > 0)).all()


def test_a_frame_is_found_by_its_position_too(
    marked: Series, seg: Dataset, masks: np.ndarray, save: Save
) -> None:
    for frame in seg.PerFrameFunctionalGroupsSequence:
        del frame.DerivationImageSequence
    for region, its in zip(read_segmentation(save(seg)).regions(marked), masks.T):
        assert (drawn(region) == its.T).all()
    for frame in seg.PerFrameFunctionalGroupsSequence[:1]:
        frame.PlanePositionSequence[0].ImagePositionPatient[2] += 0.5
    ball, bar = read_segmentation(save(seg)).regions(marked)
    assert ball.doubts == ("1 of 5 frames lie on no slice of the series",) and len(ball.areas) == 4
    assert bar.doubts == ()


@pytest.mark.parametrize("orientation", [[1, 0, 0, 0, -1, 0], [0, 1, 0, 1, 0, 0]])
def test_a_frame_that_is_turned_lies_where_it_says(
    marked: Series, masks: np.ndarray, make_seg: Make, save: Save, orientation: list[int]
) -> None:
    flipped = orientation[4] == -1
    seg = make_seg(masks[:, ::-1] if flipped else masks.swapaxes(1, 2))
    (shared,) = seg.SharedFunctionalGroupsSequence
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = orientation
    last_mm = marked.slices[0].position_mm[1] + (masks.shape[1] - 1) * marked.spacing_zyx_mm[1]
    for frame in seg.PerFrameFunctionalGroupsSequence:
        if flipped:
            frame.PlanePositionSequence[0].ImagePositionPatient[1] = last_mm
    for region, its in zip(read_segmentation(save(seg)).regions(marked), masks.T):
        assert (drawn(region) == its.T).all()


def test_a_frame_of_a_part_of_the_slice_lies_where_it_says(
    marked: Series, masks: np.ndarray, make_seg: Make, save: Save
) -> None:
    highdicom = pytest.importorskip("highdicom", reason="the extra sr is not installed")
    corners = [patient_mm(s, np.array([[30, 20]]))[0].tolist() for s in marked.slices]
    positions = [highdicom.PlanePositionSequence("PATIENT", mm) for mm in corners]
    measures = highdicom.PixelMeasuresSequence(marked.spacing_zyx_mm[1:], 1.5)
    seg = make_seg(masks[:, 20:80, 30:], plane_positions=positions, pixel_measures=measures)
    for region, its in zip(read_segmentation(save(seg)).regions(marked), masks.T):
        assert (drawn(region) == its.T).all()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("NumberOfFrames", 9, "9 frames with 7 descriptions"),
        ("Rows", 60000, "frames of 94x60000 pixels, more than a slice of the CT has"),
        ("SegmentSequence", [], "a frame of segment 1, which is not described"),
    ],
)
def test_what_contradicts_itself_is_damaged(
    marked: Series,
    seg: Dataset,
    save: Save,
    name: str,
    value: Any,
    message: str,
) -> None:
    setattr(seg, name, value)
    with pytest.raises(LidcError, match=message):
        read_segmentation(save(seg)).regions(marked)


def test_pixels_of_another_size_are_refused(marked: Series, seg: Dataset, save: Save) -> None:
    seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [2, 2]
    with pytest.raises(LidcError, match="pixels of 2 x 2 mm that do not lie on the CT's, of 3"):
        read_segmentation(save(seg)).regions(marked)
