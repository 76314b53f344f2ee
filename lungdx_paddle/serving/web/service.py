"""What all requests share: the model, the CTs that are open, and threads to work in."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar, cast

import anyio
import anyio.to_thread
from fastapi import Depends
from starlette.exceptions import HTTPException
from starlette.requests import Request

from lungdx_paddle.errors import CheckpointError, InstallError, LungdxError
from lungdx_paddle.extras import failed_import
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import available_cores
from lungdx_paddle.serving.web.limits import Limits
from lungdx_paddle.serving.web.scans import Scans, without_paths

T = TypeVar("T")

STATUS: tuple[tuple[type[LungdxError], int], ...] = (
    (InstallError, 501),
    (CheckpointError, 500),
    (LungdxError, 422),
)
"""HTTP status of an error, by the first class that fits: what a sender can correct is 422."""


@dataclass
class Service:
    """The model, the CTs that are open, and threads to work in: one a core, so that what is read
    at the same time fits the memory.
    """

    predictor: Predictor
    limits: Limits
    scans: Scans
    _threads: anyio.CapacityLimiter = field(init=False)

    def __post_init__(self) -> None:
        self._threads = anyio.CapacityLimiter(max(2, available_cores()))

    async def work(self, folder: Path, function: Callable[..., T], *args: object) -> T:
        """Call a function in a thread, and turn what it raises into an answer.

        Args:
            folder: of the upload that it reads; no message names it.
            function: what is called.
            args: its arguments.

        Raises:
            HTTPException: 422 for what the sender can correct, 501 where a decoder is not
                installed, 503 after too long, 500 for a bug; with one sentence.
        """
        try:
            with anyio.fail_after(self.limits.work_s):
                return await anyio.to_thread.run_sync(
                    function, *args, abandon_on_cancel=True, limiter=self._threads
                )
        except HTTPException:
            raise
        except TimeoutError:
            raise HTTPException(
                503, f"no answer within {self.limits.work_s:g} s; try later, or send one CT alone"
            ) from None
        except LungdxError as error:
            status = next(status for kind, status in STATUS if isinstance(error, kind))
            text = without_paths(str(error), folder)
            if self.predictor.folder.is_absolute():  # and not a word of the sentence
                text = text.replace(str(self.predictor.folder), "the model")
            raise HTTPException(status, text) from None
        except Exception as error:
            if failed := failed_import(error):
                raise HTTPException(501, str(failed)) from None
            log.error("%s in %s", type(error).__name__, getattr(function, "__name__", function))
            log.debug(traceback.format_exc())  # may name files: with LUNGDX_DEBUG=1 only
            raise HTTPException(
                500, f"{type(error).__name__}: this is a bug of the server"
            ) from None


def service_of(request: Request) -> Service:
    """The service that answers a request."""
    return cast(Service, request.app.state.service)


Its = Annotated[Service, Depends(service_of)]
"""The service, as an endpoint takes it."""
