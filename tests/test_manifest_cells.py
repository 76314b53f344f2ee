"""A cell is read as what it was before a spreadsheet or pandas wrote it, or refused."""

from __future__ import annotations

import pytest

from lungdx_paddle.manifest_cells import CELLS


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("diagnosis", "2.0", 2),
        ("diagnosis", "", None),
        ("nodule", "0.", 0),
        ("malignancy_ratings", "4.0", (4,)),
        ("malignancy_ratings", "5;5.0;4;5", (5, 5, 4, 5)),
        ("z_mm", "-1.5e-05", -1.5e-05),
        ("image", r".\crops\\a.jpg", "crops/a.jpg"),
        ("image", "./crops/./a.jpg", "crops/a.jpg"),
        ("pixel_spacing_mm", "0.1", 0.1),
        ("pixel_spacing_mm", "5", 5.0),
        ("window_width", "1", 1.0),
        ("patient_id", "1-2", "1-2"),
        ("series_uid", "1.2.840.113619.2", "1.2.840.113619.2"),
        ("crop", "", "paper"),
        ("diagnosis_method", "4.0", 4),
        ("nodule_diagnoses", "1;3", (1, 3)),
        ("nodule_methods", "", ()),
        ("patient_nodules", "", None),
    ],
)
def test_what_a_cell_means(column: str, cell: str, value: object) -> None:
    assert CELLS[column][1](cell) == value


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("nodule", "1E+05"),  # of 123456
        ("nodule", "1_0"),
        ("nodule", "2.5"),
        ("z_mm", "12. Mai"),  # of 12.5
        ("z_mm", "nan"),
        ("z_mm", "1.024,5"),
        ("pixel_spacing_mm", "703125"),  # of 0.703125
        ("pixel_spacing_mm", "9"),
        ("pixel_spacing_mm", "0.0703"),  # in cm
        ("window_width", "1e-9"),
        ("window_width", "0.5"),
        ("window_width", "2040000"),
        ("scale", "0"),
        ("patient_id", "2-Jan"),  # of 1-2
        ("patient_id", "Jan-02"),
        ("patient_id", "1.23E+05"),
        ("patient_id", ""),
        ("series_uid", "2003-02-01 00:00:00"),  # of 1.2.3, from a workbook
        ("image", r"..\a.jpg"),
        ("image", r"C:\a.jpg"),
        ("image", r"\\server\a.jpg"),
        ("malignancy_ratings", "5.4"),
        ("diagnosis", "4"),
        ("diagnosis_method", "5"),
        ("nodule_diagnoses", "1;4"),
        ("nodule_methods", "1;"),
        ("patient_nodules", "0"),
    ],
)
def test_what_a_spreadsheet_has_made_of_a_cell_is_refused(column: str, cell: str) -> None:
    with pytest.raises(ValueError):
        CELLS[column][1](cell)
