"""A model over HTTP, and a page to click nodules in a CT.

There is no log-in: whoever reaches the address can use it.  So it is this machine's own
(127.0.0.1) unless another is given.  A CT that is sent stays in a private temporary folder until
the page is closed, nobody looks at it any more, or the server ends.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import ipaddress
import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle import RESEARCH_USE, progress
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.runtime import return_freed_memory

BACKLOG = 128
"""Connections that wait to be accepted."""


def main(argv: Sequence[str] | None = None) -> None:
    """Serve a model until Ctrl-C."""
    args = _arguments(argv)
    from lungdx_paddle.inference.predictor import Predictor
    from lungdx_paddle.serving.web.app import make_app
    from lungdx_paddle.serving.web.connections import server_of
    from lungdx_paddle.serving.web.limits import LOOPBACK, Limits

    progress.shown = False
    return_freed_memory()
    limits = dataclasses.replace(
        Limits(), upload_bytes=args.upload_mb * 2**20, idle_s=60 * args.idle_minutes
    )
    listening = _listen(args.host, args.port)
    address = listening.getsockname()[:2]
    is_own = ipaddress.ip_address(address[0]).is_loopback
    predictor = Predictor(args.model.resolve())
    for note in predictor.notes:
        cli.note(note)
    app = make_app(predictor, limits, LOOPBACK if is_own else ())
    _greet(address, is_own)
    # uvicorn ends on SIGTERM as on Ctrl-C, and then raises the signal again: a service manager's
    # is to end the command well, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server_of(app).run([listening])
    except KeyboardInterrupt:
        pass
    cli.note("stopped; every CT that was open is removed")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = cli.parser(__doc__, "python tools/serve.py --model inference")
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="what tools/export.py wrote")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default: %(default)s)",
    )
    add(
        "--port",
        type=int,
        default=8000,
        metavar="N",
        help="default: %(default)s; 0: any that is free",
    )
    add(
        "--upload-mb",
        type=int,
        default=1024,
        metavar="MB",
        help="of one upload, at most (default: %(default)s)",
    )
    add(
        "--idle-minutes",
        type=float,
        default=30,
        metavar="M",
        help="after which a CT that nobody looks at is removed (default: %(default)s)",
    )
    args = parser.parse_args(argv)
    _check(args.port, args.upload_mb, args.idle_minutes)
    return args


def _check(port: int, upload_mb: int, idle_minutes: float) -> None:
    given = {
        "--port": (port, 0, 65535),
        "--upload-mb": (upload_mb, 1, 2**16),
        "--idle-minutes": (idle_minutes, 0.1, 1440),
    }
    for name, (value, least, most) in given.items():
        if not least <= value <= most:
            raise ConfigError(
                f"{name} {value}",
                expected=f"a number from {least} to {most}",
                found=str(value),
                fix="choose another",
            )


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        ConfigError: there is no such address, or another program has the port.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as closing:
            listening = closing.enter_context(socket.socket(family, kind))
            if os.name == "posix":  # elsewhere it would let two programs have one port
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(BACKLOG)  # who comes before the model is loaded waits
            closing.pop_all()
        return listening
    except OSError as error:
        raise ConfigError(
            f"{host}:{port}",
            expected="an address of this machine and a port that is free",
            found=error.strerror or str(error),
            fix="choose another with --host or --port; --port 0 takes any",
        ) from error


def _greet(address: tuple[str, int], is_own: bool) -> None:
    """Print where the server is, and who can reach it."""
    host, port = address
    shown = f"[{host}]" if ":" in host else host
    cli.say(f"http://{shown}:{port}/ (Ctrl-C ends; API: http://{shown}:{port}/docs)")
    if is_own:
        cli.note("no log-in: whoever uses this machine can use it")
    else:
        cli.note(
            f"WARNING: no log-in and no encryption, and {host} is no address of this machine "
            "alone: whoever reaches it can send CTs, and read those on their way; put a proxy "
            "with a log-in and TLS before it"
        )
    cli.note(RESEARCH_USE)
