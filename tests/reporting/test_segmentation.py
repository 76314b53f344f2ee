"""A SEG of findings holds their very pixels, and every checker takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest

from lungdx_paddle.inference.description import Description
from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.inference.segmentations import read_segmentation
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.reporting.dicom_source import dicom_bytes, tracking_of

highdicom = pytest.importorskip("highdicom", reason="the extra sr is not installed")
from lungdx_paddle.reporting.segmentation import segmentation  # noqa: E402

Run = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, description: Description) -> Callable[..., Path]:
    """A function of findings: their SEG."""

    def make(findings: Sequence[Finding]) -> Path:
        (tmp_path / "seg.dcm").write_bytes(dicom_bytes(segmentation(findings, description)))
        return tmp_path / "seg.dcm"

    return make


def assert_alike(found: Sequence[Region], findings: Sequence[Finding]) -> None:
    regions = [f.region for f in findings if f.region is not None]
    assert len(found) == len(regions)
    for its, region in zip(found, regions):
        assert list(its.areas) == list(region.areas)
        assert all((its.mask(index) == region.mask(index)).all() for index in region.areas)


def test_what_is_read_back_are_the_pixels_of_the_findings(
    findings: Sequence[Finding], series: Series, write: Callable[..., Path]
) -> None:
    path = write(findings)
    found = read_segmentation(path).regions(series)
    assert_alike(found, findings)
    assert [(r.number, r.name) for r in found] == [(1, "nodule 0"), (2, "bar")]
    theirs = highdicom.seg.segread(path).get_pixels_by_source_instance(
        list(series.sop_uids), assert_missing_frames_are_empty=True
    )
    for k, region in enumerate(found):
        assert all((region.mask(i) == theirs[i, ..., k]).all() for i in range(6))


def test_nodules_that_share_pixels_keep_them(
    series: Series,
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    write: Callable[..., Path],
) -> None:
    twice = [make_finding(series, ball), make_finding(series, np.roll(ball, 3, axis=2), 1)]
    assert_alike(read_segmentation(write(twice)).regions(series), twice)


def test_no_checker_finds_an_error(
    findings: Sequence[Finding], ct: Path, write: Callable[..., Path], run_program: Run
) -> None:
    path = write(findings)
    assert not [line for line in run_program("dciodvfy", path) if "Error" in line]
    assert run_program("dcentvfy", path, *ct.rglob("*.dcm")) == []


def test_a_segment_has_the_identity_that_its_nodule_has_in_reports(
    findings: Sequence[Finding], series: Series, write: Callable[..., Path]
) -> None:
    for finding, read in zip(findings, read_segmentation(write(findings)).regions(series)):
        assert finding.region is not None
        assert tracking_of(read) == tracking_of(finding.region)


def test_readers_outlines_are_manual_and_ours_are_not(
    series: Series,
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    write: Callable[..., Path],
) -> None:
    both = [make_finding(series, ball, origin=origin) for origin in ("outline", "point")]
    manual, grown = pydicom.dcmread(write(both)).SegmentSequence
    assert manual.SegmentAlgorithmType == "MANUAL" and "SegmentAlgorithmName" not in manual
    assert grown.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert grown.SegmentAlgorithmName == "lungdx_paddle point"


def test_a_multi_frame_ct_has_a_segmentation_too(
    series: Series,
    ball: np.ndarray,
    make_finding: Callable[..., Finding],
    write: Callable[..., Path],
    tmp_path: Path,
) -> None:
    headers = [pydicom.dcmread(s.file.path) for s in reversed(series.slices)]
    for header in headers:
        header.ContentTime = header.AcquisitionTime = "120000"
    enhanced = highdicom.legacy.LegacyConvertedEnhancedCTImage(
        headers, highdicom.UID(), 1, highdicom.UID(), 1
    )
    (tmp_path / "ct").mkdir()
    enhanced.save_as(tmp_path / "ct" / "enhanced.dcm")
    (multi,), _ = find_series(tmp_path / "ct")
    findings = [make_finding(multi, ball)]
    assert_alike(read_segmentation(write(findings)).regions(multi), findings)
