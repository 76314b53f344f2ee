"""A server takes no more, waits no longer and answers no other page than it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from lungdx_paddle.serving.web.limits import (
    LOOPBACK,
    SECURITY_HEADERS,
    Gate,
    Limits,
    Message,
    Scope,
)

SMALL = Limits(body_bytes=2**20, upload_bytes=2**21, silence_s=0.05, upload_s=0.2)


async def length(scope: Scope, receive: Any, send: Any) -> None:
    """An application that reads a body and answers with its length."""
    request = Request(scope, receive)
    try:
        response = PlainTextResponse(str(len(await request.body())))
    except HTTPException as error:
        response = PlainTextResponse(error.detail, error.status_code)
    await response(scope, receive, send)


@pytest.fixture
def gate() -> TestClient:
    return TestClient(Gate(length, SMALL, ["/predict"], LOOPBACK), base_url="http://127.0.0.1")


def chunks(count: int) -> Iterator[bytes]:
    for _ in range(count):
        yield bytes(2**18)


def test_a_body_over_the_limit_is_refused_whether_it_says_its_length_or_not(
    gate: TestClient,
) -> None:
    assert gate.post("/x", content=bytes(2**20)).text == str(2**20)
    assert gate.post("/predict", content=chunks(8)).text == str(2**21)
    for content in (bytes(2**20 + 1), chunks(5)):
        refused = gate.post("/x", content=content)
        assert refused.status_code == 413 and "up to 1 MiB" in refused.text
        assert refused.headers["connection"] == "close"
    assert gate.post("/predict", content=chunks(9)).status_code == 413


def asked(gaps_s: list[float]) -> list[Message]:
    """What a gate sends to a client whose body comes in bytes with pauses before them."""
    sent: list[Message] = []
    gaps = list(gaps_s)

    async def receive() -> Message:
        await anyio.sleep(gaps.pop(0))
        return {"type": "http.request", "body": b"x", "more_body": bool(gaps)}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8000")]
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": headers}
    anyio.run(Gate(length, SMALL).__call__, scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("gaps_s", "status"), [([0.0, 0.0], 200), ([0.0, 0.5], 408), ([0.03] * 20, 408)]
)
def test_a_body_that_pauses_or_drips_is_waited_for_for_so_long(
    gaps_s: list[float], status: int
) -> None:
    start = asked(gaps_s)[0]
    assert start["status"] == status
    assert ((b"connection", b"close") in start["headers"]) == (status == 408)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "http://behind.a.proxy"}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": ""}, 421),
    ],
)
def test_pages_of_elsewhere_and_other_names_for_loopback_are_refused(
    gate: TestClient, headers: dict[str, str], status: int
) -> None:
    assert gate.post("/x", headers=headers).status_code == status


def test_every_answer_has_the_security_headers(
    serve: Callable[..., TestClient], zipped: bytes
) -> None:
    client = serve(upload_bytes=2**24)
    for response in (
        client.get("/"),
        client.get("/page.js"),
        client.get("/health"),
        client.get("/nothing"),
        client.post("/predict", files={"files": zipped}),
        client.post("/predict", content=bytes(2**24 + 1)),
    ):
        for name, value in SECURITY_HEADERS.items():
            assert response.headers[name] == value
    assert "default-src 'self'" in SECURITY_HEADERS["content-security-policy"]
