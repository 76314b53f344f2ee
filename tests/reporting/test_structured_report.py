"""A structured report says what the finding says, and every checker takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom.sr.codedict import codes

from lungdx_paddle import RESEARCH_USE, __version__
from lungdx_paddle.inference.description import NAME, Description, sha256_of
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.rtstruct_regions import enclosed_pixels
from lungdx_paddle.lidc import Series, find_annotations, find_series
from lungdx_paddle.lidc.nodules import group_readings
from lungdx_paddle.lidc.regions import on_slice, region_of
from lungdx_paddle.reporting.dicom_source import dicom_bytes

sr = pytest.importorskip("highdicom.sr", reason="the extra sr is not installed")
from lungdx_paddle.reporting.structured_report import (  # noqa: E402
    polygon_mm,
    structured_report,
)

Run = Callable[..., list[str]]


@pytest.fixture(scope="module")
def path(
    findings: Sequence[Finding], description: Description, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The report of the findings, as a file."""
    path = tmp_path_factory.mktemp("report") / "sr.dcm"
    path.write_bytes(dicom_bytes(structured_report(findings, description)))
    return path


def test_no_checker_finds_an_error(path: Path, ct: Path, run_program: Run) -> None:
    assert not [line for line in run_program("dciodvfy", path) if "Error" in line]


def test_it_fits_its_ct(path: Path, ct: Path, run_program: Run) -> None:
    lines = [line for line in run_program("dcentvfy", path, *ct.rglob("*.dcm")) if line.strip()]
    # Of each SR, since its requests have an accession number, too.
    assert all("<AccessionNumber> IE <Study> versus <Series>" in line for line in lines), lines


def test_its_tree_can_be_printed(path: Path, run_program: Run) -> None:
    tree = "\n".join(run_program("dsrdump", path))
    for line in (
        "Verification Flag   : UNVERIFIED",
        '"Observer Type")=(121007,DCM,"Device")',
        '"Tracking Identifier")="nodule 0"',
        '"Finding")=(427359005,SCT,"Solitary nodule of lung")',
        '"Finding Site")=(39607008,SCT,"Lung")',
        '"Malignancy")=(904,99LIDCQIICR,"4 out of 5 (Moderately Suspicious for Cancer)")',
        "SCOORD3D:",
    ):
        assert line in tree


def test_what_is_read_back_is_what_the_finding_says(
    path: Path, findings: Sequence[Finding], series: Series, description: Description
) -> None:
    report = sr.srread(path)
    groups = report.content.get_planar_roi_measurement_groups()
    assert [g.tracking_identifier for g in groups] == ["nodule 0", "bar"]
    for group, finding in zip(groups, findings):
        said = finding.to_dict()
        values = {m.name.meaning: (m.value, m.unit.value) for m in group.get_measurements()}
        assert values.pop("Diameter") == (said["diameter_mm"], "mm")
        assert values.pop("Volume") == (said["volume_mm3"], "mm3")
        assert values.pop("Attenuation Coefficient") == (said["mean_hu"], "[hnsf'U]")
        level = said["malignancy"]
        assert values.pop("Expected malignancy level, 1 to 5") == (level["expected_level"], "1")
        percents = [*level["probabilities"], *said["pathology"]["probabilities"]]
        assert [value for value, unit in values.values()] == pytest.approx(
            [100 * p for p in percents], abs=1e-4
        )
        assert {unit for _, unit in values.values()} == {"%"}
        answers = {q.name.value: q.value.value for q in group.get_qualitative_evaluations()}
        assert answers["RID36042"] == "904" and answers["pathology"] == "pathology-malignant"
        assert group.finding_type.value == "427359005"
        assert [site.value.value for site in group.finding_sites] == ["39607008"]
        assert group.roi.ReferencedFrameOfReferenceUID == series.slices[0].frame_of_reference
    texts = [item.TextValue for item in groups[0][0].ContentSequence if item.ValueType == "TEXT"]
    digest = sha256_of(description.folder / NAME)
    own = {"lungdx_paddle tiny", __version__, "window: 20/2040 HU", "crop rule: context"}
    own |= {f"SHA-256 of {NAME}: {digest}", "nodule marked by: point"}
    assert own <= set(texts)


def test_a_doubt_is_a_comment_of_its_nodule_and_the_use_one_of_the_report(path: Path) -> None:
    report = sr.srread(path)

    def comments(item: object) -> list[str]:
        its = [i for i in item.ContentSequence if i.ValueType == "TEXT"]  # type: ignore[attr-defined]
        return [i.TextValue for i in its if i.name == codes.DCM.Comment]

    first, second = report.content.get_planar_roi_measurement_groups()
    assert comments(first[0]) == []
    assert comments(second[0]) == ["nodule 1: it may be a vessel"]
    assert comments(report) == [RESEARCH_USE]
    assert RESEARCH_USE in report.SeriesDescription


def test_the_polygon_encloses_the_pixels_of_the_middle_slice(
    series: Series, ball: np.ndarray, make_finding: Callable[..., Finding]
) -> None:
    single = np.zeros_like(ball)
    single[3, 50, 60] = True
    for drawn in (ball, single):
        region = make_finding(series, drawn).region
        assert region is not None
        points_mm = polygon_mm(region)
        assert (points_mm[0] == points_mm[-1]).all()
        found = on_slice(series, points_mm)
        assert found is not None and found[0] == region.middle
        inside = enclosed_pixels([found[1][:-1]], series.shape_zyx[1:])
        filled = drawn[region.middle].copy()
        filled[30:34, 39:43] |= drawn is ball  # the hole, which a polygon cannot have
        assert (inside == filled).all()


def test_it_belongs_to_the_patient_and_the_study_and_no_person_made_it(
    path: Path, series: Series
) -> None:
    report = sr.srread(path)
    assert (report.StudyInstanceUID, report.PatientID) == (series.study_uid, series.patient_id)
    assert str(report.PatientName) == "Müller^Jörg" and report.PatientBirthDate == "19500102"
    assert (report.VerificationFlag, report.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "VerifyingObserverSequence" not in report
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (its,) = study.ReferencedSeriesSequence
    assert its.SeriesInstanceUID == series.series_uid
    named = [item.ReferencedSOPInstanceUID for item in its.ReferencedSOPSequence]
    assert named == list(series.sop_uids)  # those with a pixel of a nodule


def test_a_nodule_is_the_same_one_in_a_second_report(
    path: Path, findings: Sequence[Finding], description: Description, tmp_path: Path
) -> None:
    again = tmp_path / "again.dcm"
    again.write_bytes(dicom_bytes(structured_report(findings, description)))
    reports = [sr.srread(path), sr.srread(again)]
    first, second = (
        [g.tracking_uid for g in r.content.get_planar_roi_measurement_groups()] for r in reports
    )
    assert first == second and len(set(first)) == 2
    assert reports[0].SOPInstanceUID != reports[1].SOPInstanceUID


@pytest.mark.lidc
def test_real_scans_have_reports_without_an_error(
    lidc_folder: Path, tmp_path: Path, description: Description, run_program: Run
) -> None:
    archive = lidc_folder / "lidc-dicom.zip"
    series = find_series(archive)[0][0]
    annotations = find_annotations(archive)[0][series.series_uid]
    (nodule,) = group_readings(annotations, series.spacing_zyx_mm[1])
    region = region_of(series, nodule)
    about = {**region.about, "nodule": 0, "mean_hu": -84.1}
    levels = {"malignancy": list("12345")}
    finding = Finding(about, levels, {"malignancy": np.eye(5)[4]}, region=region)
    report = structured_report([finding], description)
    (tmp_path / "sr.dcm").write_bytes(dicom_bytes(report))
    for index in region.areas:
        with series.slices[index].file.open() as stream:
            (tmp_path / f"{index}.dcm").write_bytes(stream.read())
    files = sorted(tmp_path.glob("*.dcm"), reverse=True)
    assert not [line for line in run_program("dciodvfy", files[0]) if "Error" in line]
    assert not [line for line in run_program("dcentvfy", *files) if "Error" in line]
