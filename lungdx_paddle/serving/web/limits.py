"""What a server takes from its clients: how much, for how long, and from which pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An ASGI application."""

SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every response: a page loads nothing from outside, and a browser keeps nothing."""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names of this machine in the header Host."""


@dataclass(frozen=True)
class Limits:
    """How much, and for how long; a test takes smaller ones."""

    upload_bytes: int = 2**30
    """Of a request with files: LIDC's largest CT has 764 slices, 0.4 GB; packed half of it."""
    unpacked_bytes: int = 2**32
    """Of all files of an upload, once unpacked."""
    body_bytes: int = 2**20
    """Of any other request: an outline has some hundred points."""
    files: int = 10_000
    """Of an upload, members of archives among them: a study has up to some thousand."""
    ratio: int = 100
    """Bytes unpacked of a byte packed, at most: CT packs to a half, zeros to a thousandth."""
    silence_s: float = 30.0
    """Without a byte of a body that is on its way."""
    upload_s: float = 900.0
    """Of one body from its first byte to the last: 1 GiB in 15 minutes is 10 Mbit/s."""
    work_s: float = 120.0
    """Of reading a CT or of one answer; seconds are usual."""
    idle_s: float = 1800.0
    """After which a CT that nobody looks at is removed."""
    scans: int = 64
    """CTs at once: three times the clients that a test has."""
    findings: int = 100
    """Of one CT; LIDC's richest has 23 nodules."""
    free_bytes: int = 2**30
    """That an upload leaves on the disk."""


LIMITS = Limits()
"""Those of a server that is given no others."""


class Gate:
    """ASGI middleware: who may ask, how long a body may be and take, and safe headers.

    Args:
        app: what answers.
        limits: of the bodies.
        uploads: paths whose bodies are files.
        hosts: names of this server in the header Host; empty: any.  Without them a page of
            elsewhere could reach a server on loopback by a name that it lets point there.
    """

    def __init__(
        self, app: App, limits: Limits, uploads: Sequence[str] = (), hosts: Sequence[str] = ()
    ) -> None:
        self.app, self.limits, self.uploads, self.hosts = app, limits, uploads, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def safe(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if message["status"] in (408, 413):
                    headers["connection"] = "close"  # the rest of the body is not waited for
            await send(message)

        most = self.limits.upload_bytes if scope["path"] in self.uploads else self.limits.body_bytes
        try:
            self._check(scope, most)
        except HTTPException as error:
            answer = JSONResponse({"detail": error.detail}, error.status_code)
            await answer(scope, receive, safe)
            return
        await self.app(scope, _Body(receive, self.limits, most).receive, safe)

    def _check(self, scope: Scope, most: int) -> None:
        """An HTTPException where the headers are enough to refuse."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if self.hosts and _without_port(host) not in self.hosts:
            raise HTTPException(421, f"this server is {self.hosts[0]}, not the host of the request")
        site, origin = headers.get("sec-fetch-site"), headers.get("origin")
        elsewhere = site not in (None, "same-origin", "none") or (
            site is None and origin is not None and urlsplit(origin).netloc != host
        )
        if elsewhere and scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(403, "a request from a page of another server")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > most:
            raise _too_large(most)


class _Body:
    """A request's body, counted and timed."""

    def __init__(self, receive: Receive, limits: Limits, most: int) -> None:
        self._receive, self._limits, self._most = receive, limits, most
        self._bytes, self._whole = 0, False
        self._until = anyio.current_time() + limits.upload_s

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()  # waits for the client to go
        left_s = min(self._limits.silence_s, self._until - anyio.current_time())
        with anyio.move_on_after(max(0.0, left_s)) as waiting:
            message = await self._receive()
        if waiting.cancelled_caught:
            raise HTTPException(408, "the request came too slowly: try again over a faster line")
        self._bytes += len(message.get("body", b""))
        self._whole = not message.get("more_body", False)
        if self._bytes > self._most:
            raise _too_large(self._most)
        return message


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _too_large(most: int) -> HTTPException:
    return HTTPException(
        413, f"expected a request of up to {most >> 20} MiB, found a larger one; send the CT alone"
    )
