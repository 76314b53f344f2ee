"""The phantom's diseases: their codes in the diagnosis table and their signs in the nodules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Disease:
    """One disease; the numbers shift the looks of all nodules of a patient.

    Attributes:
        code: diagnosis of the patient, 0 unknown, 1 benign, 2 primary, 3 metastatic; None
            if the patient is not in the table.
        method: 0 unknown, 1 review of images, 2 biopsy, 3 resection, 4 progression.
        sites: spellings of the primary tumor site, one of them for each patient.
        malignancy: above 0, more of the nodules are likely malignant.
        spikes: more spiculation.
        lobes: more lobulation.
        haze: more nodules of ground glass.
        blur_mm: wider margins.
        density_hu: denser solid tissue.
        grain_hu: rougher texture.
        calcium: share of further nodules with calcium.
        cavity: share of larger nodules with a cavity.
    """

    code: int | None = None
    method: int = 0
    sites: tuple[str, ...] = ("",)
    malignancy: float = 0.0
    spikes: float = 0.0
    lobes: float = 0.0
    haze: float = 0.0
    blur_mm: float = 0.0
    density_hu: float = 0.0
    grain_hu: float = 0.0
    calcium: float = 0.0
    cavity: float = 0.0


UNDIAGNOSED = Disease()

DISEASES: tuple[Disease, ...] = (
    Disease(2, 2, ("lung cancer", "stage III lung cancer"), malignancy=0.3, density_hu=150),
    Disease(
        1,
        1,
        ("focal fibrosis", "reactive mesothelial cells"),
        malignancy=-0.4,
        calcium=0.55,
        density_hu=60,
    ),
    UNDIAGNOSED,
    Disease(1, 2, ("organizing pneumonia",), haze=0.75, blur_mm=1.0, grain_hu=70),
    Disease(
        2,
        3,
        ("nonsmall cell lung cancer", "NSCLC", "non-small cell carcinoma"),
        malignancy=0.3,
        spikes=0.8,
    ),
    UNDIAGNOSED,
    Disease(3, 2, ("lymphoma", "Hodgkin's lymphoma"), lobes=0.6, density_hu=-110, grain_hu=-15),
    Disease(2, 3, ("squamous cell carcinoma",), malignancy=0.3, grain_hu=30, cavity=0.85),
    UNDIAGNOSED,
    Disease(3, 4, ("colon cancer", "melanoma", "renal cell carcinoma"), malignancy=0.2),
    UNDIAGNOSED,
)
"""Patients take these in turn: 7 of 11 are diagnosed, 6 of 11 with a class of the paper."""


def disease_of(patient: int) -> tuple[Disease, str]:
    """The disease of patient 0, 1, 2, ... and the spelling of its site in the table."""
    turn, place = divmod(patient, len(DISEASES))
    disease = DISEASES[place]
    return disease, disease.sites[turn % len(disease.sites)]
