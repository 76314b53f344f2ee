"""A nodule is shown on its widest slice, with an outline of every reader."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.figures.nodule_slice import COLOURS, draw_nodule
from lungdx_paddle.lidc.nodules import Nodule
from lungdx_paddle.lidc.scan import Scan


@pytest.fixture
def nodule(scan: Scan) -> Nodule:
    """The one that most readers outlined."""
    return max(scan.nodules, key=lambda nodule: len(nodule.readings))


def test_every_reader_has_an_outline_and_an_entry_in_the_legend(
    scan: Scan, nodule: Nodule, shown: Callable[..., np.ndarray]
) -> None:
    figure = draw_nodule(scan.series, nodule)
    (axes,) = figure.axes
    entries = [text.get_text() for text in axes.get_legend().get_texts()]
    readers = [f"reader {r.reader + 1}: malignancy {r.malignancy}" for r in nodule.readings]
    assert entries and set(entries) <= set(readers)
    assert {line.get_color() for line in axes.lines} <= set(COLOURS)
    assert f"{scan.patient_id}, nodule {nodule.number}, z" in axes.get_title()
    assert "pixels of" in axes.get_xlabel() and "mm" in axes.get_ylabel()
    assert len(axes.get_xticks()) > 2 and axes.get_ylim()[0] > axes.get_ylim()[1]
    assert len(np.unique(shown(figure).reshape(-1, 4), axis=0)) > 50


def test_another_slice_may_be_named(scan: Scan, nodule: Nodule) -> None:
    series = scan.series
    other = nodule.sop_uids[0]
    title = draw_nodule(series, nodule, other).axes[0].get_title()
    assert title.endswith(f"z {series.z_mm[series.index_of(other)]:g} mm")


def test_a_slice_that_is_not_there_is_one_clear_error(scan: Scan, nodule: Nodule) -> None:
    with pytest.raises(LidcError, match="found no slice 1.3"):
        draw_nodule(scan.series, nodule, "1.3")
