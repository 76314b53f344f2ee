"""Patient, spacing, slice thickness and scanner of the 1018 CT series of LIDC-IDRI.

Their XML files lack them.

``lidc_series.csv`` holds facts of the collection on TCIA (Armato et al. 2015, doi
10.7937/K9/TCIA.2015.LO9QL9SX, CC BY 3.0).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

_TABLE = Path(__file__).with_name("lidc_series.csv")

USUAL_PIXEL_SPACING_MM = 0.7
"""Of a series that the table does not know: the collection's median is 0.70."""


PHANTOM_PREFIX = "PHANTOM-"
"""How the patient IDs of our phantom begin; none of LIDC-IDRI does."""


@dataclass(frozen=True)
class SeriesFacts:
    """One CT series of the collection."""

    patient_id: str
    pixel_spacing_mm: float
    """In the plane, DICOM (0028,0030)."""
    slice_thickness_mm: float
    """DICOM (0018,0050)."""
    slice_spacing_mm: float
    """Distance of neighbouring slices."""
    manufacturer: str = ""
    """Of the scanner, DICOM (0008,0070); empty if not known."""


@lru_cache(maxsize=1)
def known_series() -> Mapping[str, SeriesFacts]:
    """The series of LIDC-IDRI by series instance UID."""
    with open(_TABLE, encoding="utf-8", newline="") as file:
        return {
            row["series_uid"]: SeriesFacts(
                patient_id=row["patient_id"],
                pixel_spacing_mm=float(row["pixel_spacing_mm"]),
                slice_thickness_mm=float(row["slice_thickness_mm"]),
                slice_spacing_mm=float(row["slice_spacing_mm"]),
                manufacturer=row["manufacturer"],
            )
            for row in csv.DictReader(file)
        }


def collection_of(patient_id: str) -> str:
    """``phantom`` or ``lidc``: the manifest's ``source``."""
    return "phantom" if patient_id.startswith(PHANTOM_PREFIX) else "lidc"
