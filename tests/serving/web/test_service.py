"""Work that takes too long, or fails, ends in a sentence and not in a traceback."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest
from starlette.exceptions import HTTPException

from lungdx_paddle.errors import CheckpointError, InstallError, LidcError
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.serving.web.limits import Limits
from lungdx_paddle.serving.web.scans import Scans
from lungdx_paddle.serving.web.service import Service

FOLDER = Path("/srv/tmp/scan")


@pytest.fixture
def service(brightness: Predictor) -> Iterator[Service]:
    limits = Limits(work_s=0.2)
    scans = Scans(limits)
    yield Service(brightness, limits, scans)
    scans.close_all()


def refused(service: Service, work: Callable[[], object]) -> HTTPException:
    with pytest.raises(HTTPException) as refusal:
        anyio.run(service.work, FOLDER, work)
    return refusal.value


def failing(error: Exception) -> Callable[[], object]:
    def work() -> object:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (
            LidcError(f"{FOLDER}/file-00002.dcm", "a", "b", "c"),
            422,
            "file 2: expected a, found b; c",
        ),
        (
            InstallError(f"{FOLDER}", "a decoder", "none", "c"),
            501,
            "the upload: expected a decoder",
        ),
        (HTTPException(413, "too much"), 413, "too much"),
        (RuntimeError(f"Roe in {FOLDER}"), 500, "RuntimeError: this is a bug of the server"),
    ],
)
def test_each_error_has_its_status_and_a_sentence_without_a_path(
    service: Service, error: Exception, status: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        refusal = refused(service, failing(error))
    assert refusal.status_code == status and refusal.detail.startswith(text)
    assert str(FOLDER) not in refusal.detail + caplog.text and "Roe" not in caplog.text


def test_a_model_that_fails_is_no_fault_of_the_sender(service: Service) -> None:
    broken = CheckpointError(f"{service.predictor.folder}/inference.onnx", "a", "b", "c")
    refusal = refused(service, failing(broken))
    assert refusal.status_code == 500
    assert refusal.detail == "the model/inference.onnx: expected a, found b; c"


def test_work_that_takes_too_long_is_not_waited_for(service: Service) -> None:
    begin = time.monotonic()
    refusal = refused(service, lambda: time.sleep(0.6))
    assert refusal.status_code == 503 and "no answer within 0.2 s" in refusal.detail
    assert time.monotonic() - begin < 5
