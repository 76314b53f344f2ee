"""A connection on which nothing is asked is closed, and one that is used is not."""

from __future__ import annotations

import socket
import time

import pytest

from lungdx_paddle.serving.web.connections import ImpatientProtocol

HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def closed_after_s(connection: socket.socket) -> float:
    begin = time.monotonic()
    connection.settimeout(20)
    while connection.recv(2**16):
        pass
    return time.monotonic() - begin


@pytest.mark.parametrize("sent", [b"", b"GET /hea", HEALTH + b"GET /hea", HEALTH[:-2]])
def test_a_client_that_asks_nothing_or_half_a_thing_is_waited_for_for_so_long(
    address: str, sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImpatientProtocol, "header_s", 0.2)
    with socket.create_connection(("127.0.0.1", int(address.split(":")[-1][:-1]))) as connection:
        connection.sendall(sent)
        assert closed_after_s(connection) < 10


def test_a_body_may_take_longer(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImpatientProtocol, "header_s", 0.1)
    with socket.create_connection(("127.0.0.1", int(address.split(":")[-1][:-1]))) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 7\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
        )
        time.sleep(0.5)
        connection.sendall(b"--\r\n")
        assert connection.recv(99).startswith(b"HTTP/1.1 422 ")
