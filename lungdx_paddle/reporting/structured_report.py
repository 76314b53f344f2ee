"""Findings -> a DICOM structured report that PACS and viewers read (TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.inference.description import Description
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc.attributes import LONGEST_LO
from lungdx_paddle.lidc.header import quiet
from lungdx_paddle.lidc.regions import Region, patient_mm
from lungdx_paddle.reporting.dicom_source import (
    MANUFACTURER,
    digest_of,
    equipment,
    new_uid,
    parameters,
    regions_of,
    source_headers,
    tracking_of,
    uid_of,
)

SERIES_NUMBER = 9901
"""Of the reports; scanners number from 1."""

SCHEME = "99LUNGDX"
"""Designator of our own codes; DICOM has none for the probability of a reader's level."""

SOLITARY_NODULE = Code("427359005", "SCT", "Solitary nodule of lung")
MALIGNANCY_RATING = Code("RID36042", "RADLEX", "Malignancy")
LEVELS = {
    "1": Code("901", "99LIDCQIICR", "1 out of 5 (Highly Unlikely for Cancer)"),
    "2": Code("902", "99LIDCQIICR", "2 out of 5 (Moderately Unlikely for Cancer)"),
    "3": Code("903", "99LIDCQIICR", "3 out of 5 (Indeterminate Likelihood)"),
    "4": Code("904", "99LIDCQIICR", "4 out of 5 (Moderately Suspicious for Cancer)"),
    "5": Code("905", "99LIDCQIICR", "5 out of 5 (Highly Suspicious for Cancer)"),
}
"""The readers' levels, in the codes of LIDC-IDRI's standardised DICOM copies."""

SUBPIXELS = 3
"""Parts of a pixel's side by which a polygon is drawn: it runs a third of a pixel outside the
centres, so that it encloses exactly the region's pixels, of a single one too."""


def structured_report(
    findings: Sequence[Finding], description: Description
) -> sr.Comprehensive3DSR:
    """A report of findings in one CT, of its study, by a device, not verified.

    A measurement group (TID 1410) for each nodule: the polygon of its middle slice in mm, what
    was measured, the level and class, a probability in % for each of them, warnings as comments.

    Args:
        findings: as predicted in a CT; those without a slice are left out.
        description: of the model.

    Raises:
        LidcError: no finding lies in a CT, they are of several, or the CT lacks its UIDs.
        OSError: the model's inference.yml cannot be read.
    """
    found = regions_of(findings)
    series = found[0][1].series
    used = sorted({index for _, region in found for index in region.areas})
    made_by = equipment(description)
    observer = sr.DeviceObserverIdentifyingAttributes(
        uid=uid_of("device", __version__, digest_of(description)),
        name=MANUFACTURER,
        manufacturer_name=MANUFACTURER,
        model_name=description.name,
        serial_number=made_by["device_serial_number"],
    )
    with quiet():
        texts = [text for f, region in found for text in (region.name, *f.warnings)]
        texts += [description.name, *(n for names in description.tasks.values() for n in names)]
        evidence = source_headers(series, used, texts)
        content = sr.MeasurementReport(
            observation_context=sr.ObservationContext(
                observer_device_context=sr.ObserverContext(codes.DCM.Device, observer)
            ),
            procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
            imaging_measurements=[_group(*pair, description) for pair in found],
        )
        content[0].ContentSequence.append(_comment(RESEARCH_USE))
        return sr.Comprehensive3DSR(
            evidence=evidence,
            content=content,
            series_instance_uid=new_uid(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=new_uid(),
            instance_number=1,
            is_complete=True,
            is_verified=False,
            coding_schemes=[
                CodingSchemeIdentificationItem(
                    SCHEME,
                    name="Levels and classes of lungdx_paddle",
                    responsible_organization=MANUFACTURER,
                )
            ],
            **made_by,
        )


def _group(
    finding: Finding, region: Region, description: Description
) -> sr.PlanarROIMeasurementsAndQualitativeEvaluations:
    """The measurement group of a nodule."""
    name, tracking_uid = tracking_of(region)
    how = {**parameters(description), "nodule marked by": region.origin}
    frame = region.series.slices[region.middle].frame_of_reference
    group = sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(uid=tracking_uid, identifier=name),
        referenced_region=sr.ImageRegion3D("POLYGON", polygon_mm(region), frame),
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        finding_type=SOLITARY_NODULE,
        finding_sites=[sr.FindingSite(codes.SCT.Lung)],
        algorithm_id=sr.AlgorithmIdentification(
            name=f"{MANUFACTURER} {description.name}",
            version=__version__,
            parameters=[f"{key}: {value}" for key, value in how.items()],
        ),
        measurements=list(_measurements(finding)),
        qualitative_evaluations=list(_evaluations(finding)),
    )
    group[0].ContentSequence.extend(map(_comment, finding.warnings))
    return group


def _measurements(finding: Finding) -> Iterator[sr.Measurement]:
    mm, mm3, hu = codes.UCUM.Millimeter, codes.UCUM.CubicMillimeter, codes.UCUM.HounsfieldUnit
    about = finding.about
    yield sr.Measurement(codes.SCT.Diameter, about["diameter_mm"], mm)
    yield sr.Measurement(codes.SCT.Volume, about["volume_mm3"], mm3)
    yield sr.Measurement(
        codes.DCM.AttenuationCoefficient, about["mean_hu"], hu, derivation=codes.SCT.Mean
    )
    for task, values in finding.to_dict().items():
        if task in finding.classes:
            if task == MALIGNANCY:
                what = _own("expected-level", "Expected malignancy level, 1 to 5")
                yield sr.Measurement(what, values["expected_level"], codes.UCUM.NoUnits)
            for name, p in zip(finding.classes[task], values["probabilities"]):
                what = _own(f"p-{task}-{name}", f"Probability of {_words(task, name)}")
                yield sr.Measurement(what, round(100 * p, 4), codes.UCUM.Percent)


def _evaluations(finding: Finding) -> Iterator[sr.QualitativeEvaluation]:
    for task in finding.probabilities or {}:
        answer = finding.answer(task)
        if answer is not None and task == MALIGNANCY and answer in LEVELS:
            yield sr.QualitativeEvaluation(MALIGNANCY_RATING, LEVELS[answer])
        elif answer is not None:
            value = _own(f"{task}-{answer}", _words(task, answer))
            yield sr.QualitativeEvaluation(_own(task, task.capitalize()), value)


def _words(task: str, name: str) -> str:
    return f"malignancy level {name} of 5" if task == MALIGNANCY else f"{task}: {name}"


def _own(value: str, meaning: str) -> Code:
    return Code(value, SCHEME, meaning[:LONGEST_LO])


def _comment(text: str) -> sr.TextContentItem:
    return sr.TextContentItem(codes.DCM.Comment, text, "CONTAINS")


def polygon_mm(region: Region) -> np.ndarray:
    """(n, 3) x, y, z of the line about a region's largest part on its middle slice, closed."""
    index = region.middle
    area = region.areas[index]
    fine = np.kron(area.pixels, np.ones((SUBPIXELS, SUBPIXELS), np.uint8)).astype(np.uint8)
    found, _ = cv2.findContours(fine, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(found, key=cv2.contourArea)[:, 0]
    half = (SUBPIXELS - 1) / 2
    xy = (largest - half) / SUBPIXELS + area.corner_xy
    return patient_mm(region.series.slices[index], np.concatenate([xy, xy[:1]]))
