"""A contour in mm encloses the pixels whose centres lie within it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.rtstruct_regions import enclosed_pixels
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import Series

Make = Callable[..., Dataset]
Save = Callable[[Dataset], Path]


def test_contours_in_mm_enclose_the_pixels_whose_centres_are_inside(
    marked: Series, make_rtstruct: Make, save: Save
) -> None:
    outer = np.array([[9.6, 19.6], [20.4, 19.6], [20.4, 30.4], [9.6, 30.4]])
    hole = np.array([[12.5, 22.5], [15.5, 22.5], [15.5, 25.5], [12.5, 25.5]])
    keyhole = np.concatenate([outer, outer[:1], hole[::-1], hole[-1:]])
    drawn = np.zeros(marked.shape_zyx, bool)
    drawn[3, 20:31, 10:21] = True
    drawn[3, 23:26, 13:16] = False
    roi = {
        "nested": [(3, "CLOSED_PLANAR", outer), (3, "CLOSED_PLANAR", hole)],
        "xor": [(3, "CLOSEDPLANAR_XOR", outer), (3, "CLOSEDPLANAR_XOR", hole)],
        "keyhole": [(3, "CLOSED_PLANAR", keyhole)],
        "point": [(3, "POINT", hole[:1])],
    }
    *regions, point = read_segmentation(save(make_rtstruct(**roi))).regions(marked)
    for region in regions:
        assert region.origin == "RTSTRUCT"
        assert (np.stack([region.mask(k) for k in range(6)]) == drawn).all()
    assert [r.name for r in regions] == ["nested", "xor", "keyhole"]
    assert point.areas == {} and point.about == {"reason": "no closed contour"}


def test_a_contour_that_names_no_slice_lies_on_the_nearest(
    marked: Series, make_rtstruct: Make, save: Save
) -> None:
    square = np.array([[9.5, 9.5], [14.5, 9.5], [14.5, 14.5], [9.5, 14.5]])
    made = make_rtstruct(a=[(k, "CLOSED_PLANAR", square) for k in (1, 2)])
    on, off = made.ROIContourSequence[0].ContourSequence
    del on.ContourImageSequence, off.ContourImageSequence
    off.ContourData = [v + 0.3 if k % 3 == 2 else v for k, v in enumerate(off.ContourData)]
    (region,) = read_segmentation(save(made)).regions(marked)
    assert list(region.areas) == [1] and region.mask(1).sum() == 25
    assert region.doubts == ("1 of 2 contours lie on no slice of the series",)


def test_pixels_enclosed_are_counted_as_a_triangle_has_them() -> None:
    triangle = np.array([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]])
    assert enclosed_pixels([triangle], (200, 200)).sum() == pytest.approx(5000, rel=0.02)
    assert enclosed_pixels([triangle - 300], (20, 20)).sum() == 0
    beyond = np.array([[-50.0, -50.0], [900.0, -50.0], [900.0, 900.0], [-50.0, 900.0]])
    assert enclosed_pixels([beyond], (20, 20)).all()


def test_a_number_that_is_none_is_damage(marked: Series, make_rtstruct: Make, save: Save) -> None:
    made = make_rtstruct(a=[(1, "CLOSED_PLANAR", np.ones((3, 2)))])
    contour = made.ROIContourSequence[0].ContourSequence[0]
    for points in (["1"] * 8, [], ["nan"] * 9, ["1e400"] * 9, ["x"] * 9):
        contour["ContourData"]._value = points
        with pytest.raises(LidcError, match="expected a whole file, found a damaged one"):
            read_segmentation(save(made)).regions(marked)


def test_an_roi_of_another_frame_of_reference_is_left_out_with_the_reason(
    marked: Series, make_rtstruct: Make, save: Save
) -> None:
    square = np.array([[9.5, 9.5], [14.5, 9.5], [14.5, 14.5], [9.5, 14.5]])
    roi = [(1, "CLOSED_PLANAR", square)]
    made = make_rtstruct(ct=roi, mr=roi)
    made.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"
    ct, mr = read_segmentation(save(made)).regions(marked)
    assert ct.areas and not mr.areas
    assert mr.about == {"reason": "of another frame of reference than the series"}
