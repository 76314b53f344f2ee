"""Findings -> a DICOM segmentation of what was taken for their nodules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from highdicom import AlgorithmIdentificationSequence, seg
from pydicom.sr.codedict import codes

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.inference.description import Description
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.header import quiet
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.reporting.dicom_source import (
    MANUFACTURER,
    equipment,
    new_uid,
    regions_of,
    source_headers,
    tracking_of,
)

SERIES_NUMBER = 9902
"""Of the segmentations; that of the reports is one less."""


def segmentation(findings: Sequence[Finding], description: Description) -> seg.Segmentation:
    """A binary SEG with a segment for each nodule, on the slices that have its pixels.

    Segments count from 1, in the order of the findings; labels and tracking UIDs are those of
    the structured report.

    Args:
        findings: as predicted in a CT; those without a slice are left out.
        description: of the model.

    Raises:
        LidcError: as :func:`~lungdx_paddle.reporting.structured_report.structured_report`.
        OSError: the model's inference.yml cannot be read.
    """
    regions = [region for _, region in regions_of(findings)]
    series = regions[0].series
    planes = _planes(series, sorted({index for region in regions for index in region.areas}))
    texts = [description.name, *(region.name for region in regions)]
    with quiet():
        return seg.Segmentation(
            source_images=source_headers(series, planes, texts),
            pixel_array=_pixels(regions, planes),
            segmentation_type="BINARY",
            segment_descriptions=[_described(n, region) for n, region in enumerate(regions, 1)],
            series_instance_uid=new_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=new_uid(),
            instance_number=1,
            content_label="NODULES",
            content_description=RESEARCH_USE,
            **equipment(description),
        )


def _planes(series: Series, used: Sequence[int]) -> Sequence[int]:
    """The slices that the source images are: of a multi-frame file all, in its own order."""
    files = {str(series.slices[index].file) for index in used}
    of_files = [k for k, s in enumerate(series.slices) if str(s.file) in files]
    if len(of_files) == len(files):
        return used
    return sorted(of_files, key=lambda index: series.slices[index].frame)


def _pixels(regions: Sequence[Region], planes: Sequence[int]) -> np.ndarray:
    """(planes, rows, columns) of segment numbers, or where some overlap, a plane a segment too."""
    labels = np.zeros((len(planes), *regions[0].series.shape_zyx[1:]), np.uint16)
    for number, region in enumerate(regions, 1):
        for k, index in enumerate(planes):
            mask = region.mask(index)
            if labels[k][mask].any():
                masks = [[r.mask(i) for i in planes] for r in regions]
                return np.moveaxis(np.array(masks, np.uint8), 0, -1)
            labels[k][mask] = number
    return labels


def _described(number: int, region: Region) -> seg.SegmentDescription:
    name, tracking_uid = tracking_of(region)
    by_reader = region.origin == "outline"
    return seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Nodule,
        algorithm_type="MANUAL" if by_reader else "SEMIAUTOMATIC",
        algorithm_identification=None
        if by_reader
        else AlgorithmIdentificationSequence(
            name=f"{MANUFACTURER} {region.origin}",
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
        ),
        tracking_uid=tracking_uid,
        tracking_id=name,
        anatomic_regions=[codes.SCT.Lung],
    )
