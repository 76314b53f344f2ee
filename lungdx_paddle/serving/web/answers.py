"""What the server computes: findings of an upload, slices as pictures, outlines drawn by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.description import read_description
from lungdx_paddle.inference.findings import Finding, findings_from_crops
from lungdx_paddle.inference.locate import left_out
from lungdx_paddle.inference.place_names import regions_named
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.scan_findings import (
    findings_from_readings,
    findings_from_segmentation,
    findings_in_series,
    findings_of_regions,
)
from lungdx_paddle.inference.segmentations import KINDS
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.lidc.header import parse_header, quiet
from lungdx_paddle.lidc.regions import Region, sides_of
from lungdx_paddle.preprocess.report import check_found
from lungdx_paddle.preprocess.window import Window
from lungdx_paddle.reporting.pictures import png, slice_png
from lungdx_paddle.serving.web.scans import Scan
from lungdx_paddle.serving.web.uploads import Upload

MOST_PLACES = 100
"""Of one request: each takes half a second, and a request has two minutes."""

PLACES = ("nodule", "point-mm", "box")
"""Fields that mark nodules, in the order of :func:`regions_named`; each may repeat."""


def findings_of_upload(predictor: Predictor, upload: Upload) -> list[Finding]:
    """A finding for each crop of an upload, or for each nodule marked in its CT.

    Args:
        predictor: the model.
        upload: crops; or a CT with an LIDC XML file, a SEG or an RTSTRUCT, or with one of the
            fields :data:`PLACES`; the fields are as the options of ``lungdx predict``.

    Raises:
        LungdxError: there is nothing to predict, or nothing that can be read.
    """
    pictures, xml = upload.pictures, upload.markups
    places = [name for name in PLACES if name in upload.fields]
    objects = [] if pictures or xml or places else _segmentations(upload)
    marks = [*places, *["XML"] * len(xml), *["SEG or RTSTRUCT"] * len(objects)]
    if len(marks) != (not pictures) or len(pictures) not in (0, len(upload.files)):
        raise LidcError(
            "the upload",
            expected=f"crops alone; or a CT and one of {', '.join(PLACES)} (fields), an XML "
            "file, a SEG or an RTSTRUCT",
            found=f"{len(pictures)} crops, {len(upload.files) - len(pictures)} other files, marks: "
            f"{', '.join(marks) or 'none'}",
            fix="send one kind of marks",
        )
    unknown = set(upload.fields) - {*PLACES, "series-uid"}
    asked = sum(len(upload.fields[name]) for name in places)
    if unknown or asked > MOST_PLACES:
        raise LidcError(
            "the upload",
            expected=f"the fields {', '.join(PLACES)} with up to {MOST_PLACES} places, series-uid",
            found=f"{', '.join(sorted(unknown))}" if unknown else f"{asked} places",
            fix="send these fields only, and many places in several requests",
        )
    if pictures:
        found = findings_from_crops(predictor, [sent.path for sent in pictures])
        names = [sent.name or numbered(sent.path) for sent in pictures]
        return [dataclasses.replace(f, about={"image": name}) for f, name in zip(found, names)]
    return list(_marked(predictor, upload, [sent.path for sent in xml], objects))


def _marked(
    predictor: Predictor, upload: Upload, xml: Sequence[Path], objects: Sequence[Path]
) -> Iterator[Finding]:
    folder, uid = upload.folder, upload.field("series-uid")
    if objects:
        return findings_from_segmentation(predictor, folder, objects[0], uid)
    if xml:
        return findings_from_readings(predictor, folder, xml[0], uid)
    regions = regions_named(*(upload.fields.get(name, ()) for name in PLACES))
    return findings_in_series(predictor, folder, regions, uid)


def _segmentations(upload: Upload) -> list[Path]:
    """The files that are a DICOM SEG or RTSTRUCT."""
    found = []
    for sent in upload.files:
        try:
            with open(sent.path, "rb") as stream, quiet():
                header, _, _ = parse_header(stream)
        except Exception:  # pydicom raises nearly anything on what is no DICOM
            continue
        if header.get("SOPClassUID") in KINDS:
            found.append(sent.path)
    return found


def numbered(path: Path) -> str:
    """Name of a file that was sent without one: its number in the upload."""
    return f"file {int(path.stem.rpartition('-')[2])}"


def read_scan(folder: Path) -> tuple[list[Series], tuple[str, ...]]:
    """The axial CT series of a folder, that of the most slices first, and what was left out.

    Raises:
        LidcError: there is none.
    """
    found, skipped = find_series(folder)
    fix = "send the DICOM files of a CT, or a zip archive of them"
    check_found(folder, found, skipped, expected="the slices of a CT series", fix=fix)
    axial = [series for series in found if series.plane == "axial"]
    if not axial:
        planes = ", ".join(sorted({series.plane for series in found}))
        expected = "axial slices, the only ones that the model knows"
        fix = "send the axial series of the study"
        raise LidcError("the upload", expected=expected, found=f"{planes} ones", fix=fix)
    axial.sort(key=lambda series: -len(series.slices))
    return axial, tuple(left_out(skipped))


def picture(predictor: Predictor, series: Series, index: int, window: Window | None) -> bytes:
    """A slice as an 8-bit PNG of its own size, in a window or in the model's.

    Raises:
        LidcError: it cannot be read, or the window shows nothing of a CT.
    """
    return slice_png(series.slice_hu(index), window or predictor.window)


def finding_of(predictor: Predictor, scan: Scan, region: Region) -> Finding:
    """The finding for a nodule of a CT that is open.

    Raises:
        LidcError: a slice cannot be read.
    """
    warnings = (*region.series.warnings, *scan.warnings)
    (finding,) = findings_of_regions(predictor, region.series, [region], warnings)
    return finding


def region_of(finding: Finding) -> Region:
    """The region of a finding in a CT, which has one."""
    assert finding.region is not None
    return finding.region


def shown(finding: Finding) -> dict[str, Any]:
    """A finding as the command gives it, and beside it its outlines on every slice for the page."""
    region = region_of(finding)
    outlines = {i: [line.tolist() for line in region.outlines(i)] for i in region.areas}
    return {**finding.to_dict(), "outlines": outlines}


def document(predictor: Predictor, findings: Sequence[Finding], name: str) -> bytes:
    """Findings in one CT as ``report.html``, ``report.dcm`` (SR) or ``outlines.dcm`` (SEG).

    Raises:
        InstallError: highdicom, which makes the DICOM objects, is not installed.
        LidcError: a slice can no longer be read.
    """
    if name == "report.html":
        from lungdx_paddle.reporting.page import report

        return report(findings, predictor).encode("utf-8")
    # Imported here: highdicom takes seconds, and is an extra of its own.
    from lungdx_paddle.reporting.dicom_source import dicom_bytes
    from lungdx_paddle.reporting.segmentation import segmentation
    from lungdx_paddle.reporting.structured_report import structured_report

    make = structured_report if name == "report.dcm" else segmentation
    return dicom_bytes(make(findings, read_description(predictor.folder)))


def middle_crop(finding: Finding) -> bytes:
    """What the model sees of a nodule's middle slice, as PNG of 32x32 pixels."""
    region, images = region_of(finding), finding.images
    assert images is not None
    return png(images[sorted(region.areas).index(region.middle)])


def about_series(series: Series, scan: Scan) -> dict[str, Any]:
    """What the page needs to know of a series, and nothing of the patient."""
    slices, rows, columns = series.shape_zyx
    return {
        "series_uid": series.series_uid,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "spacing_mm": list(series.spacing_zyx_mm),
        "z_mm": [round(float(mm), 2) for mm in series.z_mm],
        "instances": [slice_.instance for slice_ in series.slices],
        "sides": sides_of(series.slices[0]),
        "header_window": series.header_window,
        "warnings": [*series.warnings, *scan.warnings],
    }
