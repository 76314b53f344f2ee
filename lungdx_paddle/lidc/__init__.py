"""Read LIDC-IDRI: CT series, readers' outlines and ratings, nodules, diagnoses.

In a notebook::

    from lungdx_paddle.figures.nodule_slice import draw_nodule
    from lungdx_paddle.lidc import find_scans

    scan = find_scans("LIDC-IDRI/LIDC-IDRI-0001")[0]
    nodule = scan.nodules[0]
    nodule.malignancy_ratings, nodule.ratings("spiculation")
    nodule.diameter_mm, nodule.volume_mm3
    scan.series.volume_hu()[nodule.consensus_mask(scan.series)].mean()
    draw_nodule(scan.series, nodule)
"""

from lungdx_paddle.lidc.annotations import find_annotations
from lungdx_paddle.lidc.diagnosis import (
    Diagnosis,
    DiagnosisTable,
    find_diagnoses,
    read_diagnoses,
)
from lungdx_paddle.lidc.dicom import Series, find_series
from lungdx_paddle.lidc.nodules import Nodule, group_readings
from lungdx_paddle.lidc.read_xml import read_annotations
from lungdx_paddle.lidc.readings import CHARACTERISTICS, Annotations, Contour, Mark, Reading
from lungdx_paddle.lidc.scan import Scan, find_scans
from lungdx_paddle.lidc.sources import Skipped

__all__ = [
    "CHARACTERISTICS",
    "Annotations",
    "Contour",
    "Diagnosis",
    "DiagnosisTable",
    "Mark",
    "Nodule",
    "Reading",
    "Scan",
    "Series",
    "Skipped",
    "find_annotations",
    "find_diagnoses",
    "find_scans",
    "find_series",
    "group_readings",
    "read_annotations",
    "read_diagnoses",
]
