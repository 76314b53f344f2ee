"""What a reader marked is one line in a notebook, however many pixels it has."""

from __future__ import annotations

import numpy as np

from lungdx_paddle.lidc.readings import Annotations, Contour, Mark, Reading


def test_marks_are_counted_and_ids_are_shortened() -> None:
    area = Contour("1.2.840.123456", -12.5, True, np.zeros((1000, 2), np.int32))
    hole = Contour("1.2.840.123456", None, False, np.zeros((1, 2), np.int32))
    assert repr(area) == "Contour(UID ...123456, z -12.5 mm: 1000 points)"
    assert repr(hole) == "Contour(UID ...123456, z unknown: 1 point, cut out)"
    rated = Reading(0, "IL057_1", {"malignancy": 4}, (area, hole))
    unrated = Reading(1, "x", {}, (area,))
    assert repr(rated) == "Reading(reader 0, 'IL057_1': 2 outlines, malignancy 4)"
    assert repr(unrated) == "Reading(reader 1, 'x': 1 outline, malignancy not rated)"
    mark = Mark(0, "y", "1.2.3", 0.0, (5, 5))
    whole = Annotations("1.2.840.654321", "1.2", 4, (rated, unrated), (mark,), (), "a.xml")
    assert repr(whole) == (
        "Annotations(UID ...654321: 4 readers, 2 readings, 1 small nodule, 0 non-nodules)"
    )
