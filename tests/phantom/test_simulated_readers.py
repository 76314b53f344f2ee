"""Four readers mark the phantom, and disagree as in LIDC."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.lidc.dicom import Series
from lungdx_paddle.lidc.nodules import group_readings
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.phantom import PhantomSettings
from lungdx_paddle.phantom.simulated_readers import outline


def test_four_readers_mark_every_series_and_name_slices_that_are_there(
    series: list[Series], annotations: dict[str, Annotations]
) -> None:
    assert set(annotations) == {one.series_uid for one in series}
    for one in series:
        marks = annotations[one.series_uid]
        assert marks.readers == 4
        assert marks.readings
        for reading in marks.readings:
            assert 1 <= (reading.malignancy or 0) <= 5
            for contour in reading.contours:
                index = one.index_of(contour.sop_uid)
                assert index is not None
                assert contour.z_mm == pytest.approx(one.z_mm[index], abs=1e-3)
                assert (contour.points_xy[0] == contour.points_xy[-1]).all()
    assert any(marks.small_nodules for marks in annotations.values())
    assert any(marks.non_nodules for marks in annotations.values())


def test_readers_agree_on_where_and_not_quite_on_what(
    series: list[Series], annotations: dict[str, Annotations], small: PhantomSettings
) -> None:
    same_outline, same_rating, overlaps = [], [], []
    for one in series:
        nodules = group_readings(annotations[one.series_uid], one.spacing_zyx_mm[1])
        assert len(nodules) <= small.nodules[1]
        for nodule in nodules:
            same_rating.append(len(set(nodule.malignancy_ratings)) == 1)
            for uid in nodule.sop_uids:
                masks = nodule.masks(uid, one.shape_zyx[1:])
                if len(masks) > 1:
                    overlaps.append(masks.all(axis=0).sum() / masks.any(axis=0).sum())
                    same_outline.append((masks == masks[0]).all())
    assert np.median(overlaps) > 0.5
    assert not all(same_outline) and not all(same_rating)


def test_an_outline_is_the_first_pixels_outside() -> None:
    mask = np.zeros((9, 9), bool)
    mask[3:7, 2:6] = True
    points = outline(mask)
    assert points is not None
    drawn = np.zeros_like(mask)
    drawn[points[:, 1], points[:, 0]] = True
    assert not (drawn & mask).any()
    assert drawn.sum() == 16  # four beyond each side; the corners are cut


def test_a_mask_of_a_few_pixels_has_no_outline() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert outline(mask) is None
