"""Prometheus reads how many requests there were, how long they took and how many failed."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient


def value(text: str, line: str) -> float:
    found = re.search(rf"^{re.escape(line)} ([\d.e+-]+)$", text, re.MULTILINE)
    assert found, line
    return float(found[1])


def test_requests_errors_seconds_and_what_is_open_are_counted(
    client: TestClient, scan: str
) -> None:
    for _ in range(3):
        client.get("/health")
    client.get(f"{scan}/series/0/slices/99.png")
    client.get("/nothing")
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = response.text
    assert value(text, 'lungdx_requests_total{method="GET",route="/health",status="200"}') == 3
    assert value(text, 'lungdx_errors_total{kind="4xx"}') == 2
    assert value(text, 'lungdx_errors_total{kind="5xx"}') == 0
    assert value(text, 'lungdx_request_seconds_count{route="/health"}') == 3
    assert value(text, 'lungdx_request_seconds_bucket{route="/health",le="+Inf"}') == 3
    assert 0 < value(text, 'lungdx_request_seconds_sum{route="/health"}') < 10
    assert value(text, "lungdx_requests_in_flight") == 1  # this one
    assert value(text, "lungdx_open_scans") == 1


def test_no_label_has_a_token_or_a_path_that_a_client_made_up(
    client: TestClient, scan: str
) -> None:
    client.get(f"{scan}/series/0/slices/0.png")
    client.request("INVENTED", "/a/path")
    text = client.get("/metrics").text
    assert scan not in text and "INVENTED" not in text and "/a/path" not in text
    names = {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line[0] != "#"}
    typed = set(re.findall(r"# TYPE (\w+)", text))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in names} == typed
