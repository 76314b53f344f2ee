"""A contact sheet shows the slices from the caudal end and how much of the nodules is inside."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lungdx_paddle.figures.lung_sheet import draw_lung_sheet
from lungdx_paddle.lidc.scan import Scan
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume


def test_each_slice_has_its_tile_with_the_mask_outlined(
    scan: Scan, shown: Callable[..., np.ndarray]
) -> None:
    lung = lung_volume(scan.series)
    figure = draw_lung_sheet(scan, lung)
    tiles = [axes for axes in figure.axes if axes.get_images()]
    assert [axes.get_title() for axes in tiles] == [f"z {z:.1f} mm" for z in scan.series.z_mm]
    assert [bool(axes.lines) for axes in tiles] == [bool(mask.any()) for mask in lung]
    assert "PHANTOM data" in figure.get_suptitle()
    assert "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


def test_the_title_says_how_much_of_the_nodules_is_inside(scan: Scan) -> None:
    everything = np.ones(scan.series.shape_zyx, dtype=bool)
    assert (
        "nodules inside: mean 1.000, least 1.000"
        in draw_lung_sheet(scan, everything).get_suptitle()
    )
    assert "mean 0.000" in draw_lung_sheet(scan, ~everything).get_suptitle()
