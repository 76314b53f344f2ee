"""What the page asks for: a CT that stays open, its slices, and nodules that are clicked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from lungdx_paddle.inference.findings import Finding
from lungdx_paddle.lidc import Series
from lungdx_paddle.serving.web import answers
from lungdx_paddle.serving.web.marks import Mark, region_of_mark
from lungdx_paddle.serving.web.scans import Scan
from lungdx_paddle.serving.web.service import Its, Service
from lungdx_paddle.serving.web.unpack import unpack
from lungdx_paddle.serving.web.uploads import receive, upload_schema

router = APIRouter(prefix="/scans", tags=["a CT that stays open"])


@router.post("", status_code=201, openapi_extra=upload_schema())
async def open_scan(request: Request, its: Its) -> dict[str, Any]:
    """Open a CT: its DICOM files, or a zip archive of them.

    The token is the only way to it; whoever has it can see the CT. It is removed by DELETE, after
    some time without a request, and when the server ends.
    """
    token, scan = its.scans.open()
    try:
        upload = await receive(request, scan.folder, its.limits)
        await its.work(scan.folder, unpack, upload, its.limits)
        scan.series, scan.warnings = await its.work(scan.folder, answers.read_scan, scan.folder)
    except BaseException:
        its.scans.close(token)
        raise
    its.scans.get(token)  # open from now on
    series = [answers.about_series(series, scan) for series in scan.series]
    return {"scan": token, "series": series}


@router.delete("/{token}", status_code=204, response_class=Response)
async def close_scan(token: str, its: Its) -> None:
    """Remove a CT and all that was found in it."""
    its.scans.close(token)


def scan_of(token: str, its: Its) -> Scan:
    """The CT of a token."""
    return its.scans.get(token)


ItsScan = Annotated[Scan, Depends(scan_of)]


def series_of(number: int, scan: ItsScan) -> Series:
    """A series of a CT, by its place in the answer to POST."""
    if not 0 <= number < len(scan.series):
        raise HTTPException(404, f"expected one of {len(scan.series)} series, found {number}")
    return scan.series[number]


def finding_of(nodule: int, scan: ItsScan) -> Finding:
    """A nodule of a CT, by its number."""
    finding = scan.findings.get(nodule)
    if finding is None:
        raise HTTPException(404, f"expected a nodule of this CT, found {nodule}: it was removed")
    return finding


ItsSeries = Annotated[Series, Depends(series_of)]
ItsFinding = Annotated[Finding, Depends(finding_of)]


@router.get("/{token}/series/{number}/slices/{index}.png", response_class=Response)
async def slice_picture(
    index: int,
    scan: ItsScan,
    series: ItsSeries,
    its: Its,
    center: Annotated[float | None, Query(allow_inf_nan=False)] = None,
    width: Annotated[float | None, Query(allow_inf_nan=False)] = None,
) -> Response:
    """A slice as 8-bit PNG, in the model's window unless another is given."""
    if not 0 <= index < len(series.slices):
        raise HTTPException(404, f"expected a slice below {len(series.slices)}, found {index}")
    window = None if center is None or width is None else (center, width)
    content = await its.work(scan.folder, answers.picture, its.predictor, series, index, window)
    return Response(content, media_type="image/png")


@router.post("/{token}/series/{number}/findings", status_code=201)
async def find(mark: Mark, scan: ItsScan, series: ItsSeries, its: Its) -> dict[str, Any]:
    """The nodule at a mark, and the model's answers for it."""
    number = scan.next_number(its.limits)
    finding = await its.work(scan.folder, _find, its, scan, series, mark, number)
    scan.findings[number] = finding
    return answers.shown(finding)


def _find(its: Service, scan: Scan, series: Series, mark: Mark, number: int) -> Finding:
    region = region_of_mark(series, mark, number)
    return answers.finding_of(its.predictor, scan, region)


@router.put("/{token}/findings/{nodule}")
async def correct(
    nodule: int, mark: Mark, scan: ItsScan, finding: ItsFinding, its: Its
) -> dict[str, Any]:
    """Another mark of a nodule, and the model's answers for it."""
    corrected = await its.work(scan.folder, _correct, its, scan, finding, mark)
    scan.findings[nodule] = corrected
    return answers.shown(corrected)


def _correct(its: Service, scan: Scan, finding: Finding, mark: Mark) -> Finding:
    before = answers.region_of(finding)
    region = region_of_mark(before.series, mark, before.number, before)
    return answers.finding_of(its.predictor, scan, region)


@router.get("/{token}/series/{number}/{name}", response_class=Response)
async def document(
    name: Literal["report.html", "report.dcm", "outlines.dcm"],
    scan: ItsScan,
    series: ItsSeries,
    its: Its,
) -> Response:
    """All nodules of a series: report.html to read, or a DICOM SR (report.dcm), SEG (outlines.dcm).

    The DICOM objects name the patient as the CT does, with which they are filed.
    """
    found = [scan.findings[number] for number in sorted(scan.findings)]
    found = [finding for finding in found if answers.region_of(finding).series is series]
    if not found:
        raise HTTPException(409, "expected a nodule that is found, found none; click one first")
    content = await its.work(scan.folder, answers.document, its.predictor, found, name)
    kind = "text/html; charset=utf-8" if name.endswith(".html") else "application/dicom"
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=kind, headers=headers)


@router.delete("/{token}/findings/{nodule}", status_code=204, response_class=Response)
async def remove(nodule: int, scan: ItsScan) -> None:
    """Forget a nodule."""
    scan.findings.pop(nodule, None)


@router.get("/{token}/findings/{nodule}/crop.png", response_class=Response)
async def crop(finding: ItsFinding) -> Response:
    """What the model sees of a nodule's middle slice: 32x32 pixels."""
    return Response(answers.middle_crop(finding), media_type="image/png")
