"""An object about a CT can be made of whatever header the CT has, or the reason is given."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.description import Description
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.reporting.dicom_source import dicom_bytes, regions_of

highdicom = pytest.importorskip("highdicom", reason="the extra sr is not installed")
from lungdx_paddle.reporting.segmentation import segmentation  # noqa: E402
from lungdx_paddle.reporting.structured_report import structured_report  # noqa: E402


@pytest.fixture
def changed(ct: Path, tmp_path: Path) -> Callable[..., Series]:
    """A function of attributes: the CT with them, None leaves one out."""

    def change(**attributes: str | None) -> Series:
        for path in ct.rglob("*.dcm"):
            header = pydicom.dcmread(path)
            for name, value in attributes.items():
                if value is None:
                    delattr(header, name)
                else:
                    header[name]._value = value  # what pydicom would refuse to write
            header.save_as(tmp_path / path.name)
        return find_series(tmp_path)[0][0]

    return change


@pytest.mark.filterwarnings("ignore:Invalid value", "ignore:Unknown encoding")
def test_attributes_that_are_missing_or_broken_are_empty(
    changed: Callable[..., Series],
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    description: Description,
    run_program: Callable[..., list[str]],
    tmp_path: Path,
) -> None:
    gone = ("PatientName", "PatientBirthDate", "StudyID", "AccessionNumber", "StudyTime")
    wrong = {"PatientSex": "X", "StudyDate": "01.02.2000", "SpecificCharacterSet": "unknown"}
    series = changed(**dict.fromkeys((*gone, "ReferringPhysicianName")), **wrong)
    for make in (structured_report, segmentation):
        path = tmp_path / f"{make.__name__}.dcm"
        path.write_bytes(dicom_bytes(make([make_finding(series, ball)], description)))
        made = pydicom.dcmread(path)
        assert all(made[name].value in (None, "") for name in (*gone, "PatientSex", "StudyDate"))
        assert not [line for line in run_program("dciodvfy", path) if "Error" in line]


@pytest.mark.parametrize("name", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_a_ct_that_nothing_can_belong_to_is_an_error(
    changed: Callable[..., Series],
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    description: Description,
    name: str,
) -> None:
    findings = [make_finding(changed(**{name: None}), ball)]
    for make in (structured_report, segmentation):
        with pytest.raises(LidcError, match="StudyInstanceUID and FrameOfReferenceUID, which"):
            make(findings, description)


@pytest.mark.parametrize(
    ("name", "label"),
    [("左肺 结节", "左肺 结节"), ("a\\\\b" + 80 * "x", "a//b" + 60 * "x"), (" ", "nodule 0")],
)
def test_any_name_of_a_nodule_becomes_a_label(
    series: Series,
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    description: Description,
    name: str,
    label: str,
) -> None:
    findings = [make_finding(series, ball, name=name)]
    for make in (structured_report, segmentation):
        content = dicom_bytes(make(findings, description))
        assert label.encode("utf-8") in content and b"x" * 63 not in content
        read = pydicom.dcmread(io.BytesIO(content))
        assert str(read.PatientName) == "Müller^Jörg"
    assert read.SegmentSequence[0].SegmentLabel == label


def test_findings_without_a_place_or_in_two_cts_are_an_error(
    findings: Sequence[Finding], series: Series
) -> None:
    with pytest.raises(LidcError, match="expected findings with pixels in one CT series, found no"):
        regions_of(findings[2:])
    (first, region), _ = regions_of(findings)
    other = dataclasses.replace(series, series_uid="1.2.3")
    elsewhere = dataclasses.replace(first, region=dataclasses.replace(region, series=other))
    with pytest.raises(LidcError, match="found findings in 2 series"):
        regions_of([first, elsewhere])


def test_nothing_of_the_patient_is_printed(
    findings: Sequence[Finding], description: Description, capfd: pytest.CaptureFixture[str]
) -> None:
    dicom_bytes(structured_report(findings, description))
    dicom_bytes(segmentation(findings, description))
    assert capfd.readouterr() == ("", "")
