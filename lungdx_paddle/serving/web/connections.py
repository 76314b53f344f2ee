"""Connections of a server: uvicorn's, but no client is waited for without end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lungdx_paddle.serving.web.limits import App

HEADER_S = 20.0
"""That the first bytes of a request, or its header, may take; bodies have limits of their own."""

MOST_CONNECTIONS = 500
"""At once; above, 503 is answered."""

GOODBYE_S = 5
"""That answers on their way have when the server ends."""


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 that closes a connection on which no request begins."""

    header_s = HEADER_S
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; if it is no whole header, wait for the rest."""
        super().data_received(data)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.header_s, self._look, self.cycle)

    def _look(self, before: Any) -> None:
        """Close the connection if no request has begun since."""
        self._waiting = None
        if self.cycle is before and (before is None or before.response_complete):
            self.transport.close()


def server_of(app: App) -> uvicorn.Server:
    """A server that is still to be given its sockets."""
    # It warns of each broken form; the client is told.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        log_level="warning",
        access_log=False,  # the paths have tokens in them
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=GOODBYE_S,
    )
    return uvicorn.Server(config)
