"""Counts of a server in the text format of Prometheus, without anything of a patient."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping

from lungdx_paddle.serving.web.limits import App, Message, Receive, Scope, Send

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
"""Upper ends: a slice takes 0.02 s, a crop 0.01, a point 0.1 to 1, a CT that is read some."""

METHODS = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}
"""Others are one: a client could invent names until the memory is full."""

Labels = tuple[str, str, str]
"""Method, route (not the path, which has tokens in it), status."""


class Metrics:
    """ASGI middleware that counts and times requests."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.in_flight = 0
        self._lock = threading.Lock()
        self._requests: Counter[Labels] = Counter()
        self._seconds: dict[str, float] = {}
        self._buckets: dict[str, list[int]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request and count it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status, begin = 500, time.perf_counter()

        async def noted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self.in_flight += 1
        try:
            await self.app(scope, receive, noted)
        finally:
            self.in_flight -= 1
            method = scope["method"] if scope["method"] in METHODS else "other"
            route = getattr(scope.get("route"), "path", "other")
            self._count((method, route, str(status)), time.perf_counter() - begin)

    def _count(self, labels: Labels, seconds: float) -> None:
        route = labels[1]
        with self._lock:
            self._requests[labels] += 1
            self._seconds[route] = self._seconds.get(route, 0.0) + seconds
            counts = self._buckets.setdefault(route, [0] * (len(BUCKETS_S) + 1))
            counts[sum(seconds > end for end in BUCKETS_S)] += 1

    def text(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """All counts.

        Args:
            gauges: {name: (what it is, value)}, beside the requests in flight.
        """
        with self._lock:
            requests = sorted(self._requests.items())
            seconds, buckets = dict(self._seconds), {k: list(v) for k, v in self._buckets.items()}
        lines = ["# HELP lungdx_requests_total Requests answered.", _type("requests_total")]
        for (method, route, status), count in requests:
            label = f'method="{method}",route="{route}",status="{status}"'
            lines.append(f"lungdx_requests_total{{{label}}} {count}")
        lines += ["# HELP lungdx_errors_total Requests refused (4xx) or failed (5xx)."]
        lines.append(_type("errors_total"))
        for kind in "45":
            failed = sum(count for (_, _, status), count in requests if status[0] == kind)
            lines.append(f'lungdx_errors_total{{kind="{kind}xx"}} {failed}')
        lines += ["# HELP lungdx_request_seconds Time from a request to its answer."]
        lines.append(_type("request_seconds", "histogram"))
        for route, counts in sorted(buckets.items()):
            for k, end in enumerate((*map(str, BUCKETS_S), "+Inf")):
                label = f'route="{route}",le="{end}"'
                lines.append(f"lungdx_request_seconds_bucket{{{label}}} {sum(counts[: k + 1])}")
            lines.append(f'lungdx_request_seconds_sum{{route="{route}"}} {seconds[route]:.6f}')
            lines.append(f'lungdx_request_seconds_count{{route="{route}"}} {sum(counts)}')
        known = {"requests_in_flight": ("Requests being answered.", float(self.in_flight))}
        for name, (what, value) in {**known, **gauges}.items():
            lines += [f"# HELP lungdx_{name} {what}", _type(name, "gauge")]
            lines.append(f"lungdx_{name} {value:g}")
        return "\n".join(lines) + "\n"


def _type(name: str, kind: str = "counter") -> str:
    return f"# TYPE lungdx_{name} {kind}"
