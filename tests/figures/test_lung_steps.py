"""Figure 1 shows each step of the slice that it is given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lungdx_paddle.figures.lung_steps import TITLES, draw_lung_steps
from lungdx_paddle.lidc.scan import Scan
from lungdx_paddle.preprocess.lungs.paper_steps import lung_steps


@pytest.fixture
def slice_hu(scan: Scan) -> np.ndarray:
    return scan.series.slice_hu(3)


def test_each_step_has_its_panel(slice_hu: np.ndarray, shown: Callable[..., np.ndarray]) -> None:
    figure = draw_lung_steps(slice_hu, 2.8, "PHANTOM-0001, z 7.5 mm")
    steps = lung_steps(slice_hu)
    assert list(TITLES) == list(steps)
    assert len(figure.axes) == 8
    by_title = {axes.get_title(): axes for axes in figure.axes}
    for name, mask in steps.items():
        (picture,) = by_title[TITLES[name]].get_images()
        np.testing.assert_array_equal(picture.get_array(), mask)
    left = by_title["the lung parenchyma"].get_images()[0].get_array()
    assert (left[steps["lung"]] == slice_hu[steps["lung"]]).all()
    assert len(np.unique(left[~steps["lung"]])) == 1
    assert "PHANTOM-0001" in figure.get_suptitle()
    assert "not a medical device" in figure.get_suptitle()
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


def test_the_threshold_stands_between_air_and_tissue(slice_hu: np.ndarray) -> None:
    histogram = draw_lung_steps(slice_hu, 2.8, "phantom").axes[1]
    (line,) = histogram.lines
    threshold_hu = float(line.get_xdata()[0])
    assert f"T = {threshold_hu:.0f} HU" in histogram.get_title()
    tissue = lung_steps(slice_hu)["tissue"]
    # Eight HU are one gray level of the window that the threshold is found in.
    assert slice_hu[tissue].min() == pytest.approx(threshold_hu, abs=60)
    assert slice_hu[~tissue].max() < threshold_hu + 8


def test_a_nodule_is_outlined_on_the_slice_and_on_the_result(slice_hu: np.ndarray) -> None:
    nodule = np.zeros(slice_hu.shape, bool)
    plain = [len(a.collections) for a in draw_lung_steps(slice_hu, 2.8, "none", nodule).axes]
    nodule[40:50, 40:50] = True
    outlined = [len(a.collections) for a in draw_lung_steps(slice_hu, 2.8, "one", nodule).axes]
    assert [b - a for a, b in zip(plain, outlined)] == [1, 0, 0, 0, 0, 0, 0, 1]


def test_the_ruler_is_as_long_as_it_says(slice_hu: np.ndarray) -> None:
    axes = draw_lung_steps(slice_hu, 2.5, "phantom").axes[0]
    (ruler,) = axes.lines
    assert np.ptp(ruler.get_xdata()) * 2.5 == pytest.approx(100)
    assert [text.get_text() for text in axes.texts] == ["100 mm"]
