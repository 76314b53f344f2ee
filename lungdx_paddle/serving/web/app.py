"""The HTTP application around a model: predictions, health, counts and documentation."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import anyio
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader

import lungdx_paddle
from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.data.labels import LEVEL_WORDS
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.serving.web import scan_routes
from lungdx_paddle.serving.web.answers import PLACES, findings_of_upload
from lungdx_paddle.serving.web.limits import LIMITS, Gate, Limits
from lungdx_paddle.serving.web.metrics import CONTENT_TYPE, Metrics
from lungdx_paddle.serving.web.scans import Scans
from lungdx_paddle.serving.web.service import Its, Service
from lungdx_paddle.serving.web.unpack import unpack
from lungdx_paddle.serving.web.uploads import Upload, receive, upload_schema

HERE = Path(__file__).parent

LOOK_S = 30.0
"""Seconds between two looks for CTs that nobody looks at any more."""

DESCRIPTION = (
    "Malignancy level and pathology of lung nodules that are marked. No log-in: whoever reaches "
    f"this server can use it. {RESEARCH_USE.capitalize()}."
)

router = APIRouter()


def make_app(predictor: Predictor, limits: Limits = LIMITS, hosts: Sequence[str] = ()) -> Metrics:
    """The application, for uvicorn or another ASGI server.

    Args:
        predictor: the model.
        limits: what is taken from clients.
        hosts: names of this server in the header Host; empty: any.
    """
    app = FastAPI(
        title="lungdx",
        version=lungdx_paddle.__version__,
        description=DESCRIPTION,
        docs_url=None,  # FastAPI's own load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = Service(predictor, limits, Scans(limits))
    app.include_router(router)
    app.include_router(scan_routes.router)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.mount("/", StaticFiles(directory=HERE / "page", html=True))
    app.state.metrics = metrics = Metrics(Gate(app, limits, ("/predict", "/scans"), hosts))
    return metrics


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    scans: Scans = app.state.service.scans

    async def look() -> None:
        while True:
            await anyio.sleep(LOOK_S)
            scans.close_idle()

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            yield
            tasks.cancel_scope.cancel()
    finally:
        scans.close_all()


async def _not_valid(_: Request, error: Exception) -> JSONResponse:
    """What is wrong with a request, in one sentence and without its content."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    return JSONResponse({"detail": f"{where or 'the request'}: {first['msg']}"}, 422)


@router.post("/predict", tags=["predict"], openapi_extra=upload_schema(*PLACES, "series-uid"))
async def predict(request: Request, its: Its) -> dict[str, Any]:
    """Findings of crops, or of the nodules marked in a CT; nothing is kept.

    Send either 32x32 JPG or PNG crops, made as the model's training crops were; or the DICOM files
    of a CT, or a zip archive of them, with its LIDC XML file, a DICOM SEG or an RTSTRUCT among
    them, or with fields as the options of `lungdx predict`: `nodule` (x,y,slice: from 0, slices
    from the caudal end; or instance=N or z=MM for the slice), `point-mm` (x,y,z) or `box`
    (x,y,slice,x,y,slice), which may repeat; `series-uid` where the CT is one of several. Each
    finding is what `lungdx predict` prints as a line.
    """
    with its.scans.passing() as folder:
        upload = await receive(request, folder, its.limits)
        findings = await its.work(folder, _predict, its, upload)
    return {"findings": findings, "note": RESEARCH_USE}


def _predict(its: Service, upload: Upload) -> list[dict[str, Any]]:
    unpacked = unpack(upload, its.limits)
    return [finding.to_dict() for finding in findings_of_upload(its.predictor, unpacked)]


@router.get("/health", tags=["server"])
async def health(its: Its) -> dict[str, Any]:
    """That the server is up, and with which model."""
    names = {"version": lungdx_paddle.__version__, "runtime": its.predictor.runtime}
    return {"status": "ok", "model": its.predictor.description["model"], **names}


@router.get("/model", tags=["server"])
async def model(its: Its) -> dict[str, Any]:
    """What the model is, gives and was trained on, and how much may be sent."""
    described = its.predictor.description
    return {
        "name": described["model"],
        "tasks": its.predictor.tasks,
        "window": dict(zip(("center", "width"), its.predictor.window)),
        "crop_rule": its.predictor.crop_rule,
        "calibrated": described.get("calibration") is not None,
        "training_data": described.get("training", {}).get("data"),
        "scores": _numbers(described.get("scores", {})),
        "levels": list(LEVEL_WORDS.values()),
        "runtime": its.predictor.runtime,
        "sha256": described.get("sha256", {}),
        "version": lungdx_paddle.__version__,
        "upload_bytes": its.limits.upload_bytes,
        "files": its.limits.files,
        "note": RESEARCH_USE,
    }


def _numbers(value: Any) -> Any:
    """Values of inference.yml, which is read as text, with its numbers as such."""
    match value:
        case dict():
            return {name: _numbers(of) for name, of in value.items()}
        case list():
            return [_numbers(of) for of in value]
        case str():
            with contextlib.suppress(ValueError):
                return json.loads(value)
    return value


@router.get("/metrics", tags=["server"], response_class=Response)
async def metrics(request: Request, its: Its) -> Response:
    """Requests, errors, seconds and requests in flight, in the text format of Prometheus."""
    counts: Metrics = request.app.state.metrics
    gauges = {"open_scans": ("CTs that clients have open.", float(len(its.scans)))}
    return Response(counts.text(gauges), media_type=CONTENT_TYPE)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    """The API as a page, made from its OpenAPI description."""
    templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
    page = templates.get_template("docs.html").render(api=request.app.openapi())
    return HTMLResponse(page)
