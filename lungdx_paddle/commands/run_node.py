"""A DICOM node: receives CT studies by C-STORE, answers each, sends the answer to a PACS.

Nodules are marked by a SEG or RTSTRUCT of the study, or by --points.  The answer to a CT is a
structured report (SR) and a segmentation (SEG).  What was received is kept in --queue until
its answer is sent, through kills and restarts.
"""

from __future__ import annotations

import argparse
import math
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle import RESEARCH_USE, progress
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError

if TYPE_CHECKING:  # --help needs neither model nor network
    from lungdx_paddle.serving.node.node import Outcome

LOOPBACK = ("127.0.0.1", "::1", "localhost")

PORT = 11112
"""The port of DICOM that needs no rights of root (PS3.8, 9.1.2)."""


def main(argv: Sequence[str] | None = None) -> None:
    """Answer studies until the process is ended."""
    args = _parser().parse_args(argv)
    if args.bind not in LOOPBACK and not args.allow:
        raise ConfigError(
            f"--bind {args.bind}",
            expected="--allow AET@ADDRESS beside it",
            found="a service that everybody in the network may send to",
            fix="name the callers that are let in",
        )
    from lungdx_paddle.serving.node.peers import parse_caller, parse_peer, parse_title

    title = parse_title(args.ae_title, "--ae-title")
    peer, allowed = parse_peer(args.send_to), [parse_caller(text) for text in args.allow]
    from lungdx_paddle.inference.points import read_points
    from lungdx_paddle.inference.predictor import Predictor
    from lungdx_paddle.serving.node.answerer import Answerer
    from lungdx_paddle.serving.node.node import Node
    from lungdx_paddle.serving.node.receiver import Receiver
    from lungdx_paddle.serving.node.room import Limits
    from lungdx_paddle.serving.node.sender import PacsAway, Sender
    from lungdx_paddle.serving.node.study_queue import Queue

    progress.shown = False
    if args.points:
        read_points(args.points)  # a bad file ends it now; it is read anew for each study
    predictor = Predictor(args.model)
    for note in predictor.notes:
        cli.note(note)
    queue = Queue(args.queue, Limits(int(args.largest_study * 2**30), int(args.keep_free * 2**30)))
    with queue.held():
        if args.retry_failed:
            queue.retry_failed()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        receiver = Receiver(queue, title, allowed, args.quiet_seconds)
        sender = Sender(peer, title)
        port = receiver.start(args.bind, args.port)
        try:
            cli.note(RESEARCH_USE)
            cli.say(f"{title} listens on {args.bind}:{port} and sends to {peer}")
            if waiting := queue.uids():
                cli.say(f"studies that are to be answered still: {len(waiting)}")
            try:
                sender.echo()
            except PacsAway as error:
                cli.note(f"{error}; answers wait for it")
            node = Node(queue, receiver, sender, Answerer(predictor, args.points))
            for outcome in node.outcomes(stop):
                cli.say(_worded(outcome))
        finally:
            receiver.stop()


def _parser() -> argparse.ArgumentParser:
    example = (
        "python tools/node.py --model inference --queue queue --send-to PACS@10.1.2.3:104 "
        "--bind 0.0.0.0 --allow PACS@10.1.2.3"
    )
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="what tools/export.py wrote")
    add(
        "--queue",
        type=Path,
        required=True,
        metavar="DIR",
        help="private folder for studies until they are answered",
    )
    add("--send-to", required=True, metavar="AET@HOST:PORT", help="the PACS that gets the answers")
    add("--points", type=Path, metavar="FILE", help="JSON {series UID: [[x, y, z] in mm, ...]}")
    add("--ae-title", default="LUNGDX", metavar="AET", help="own title (default: %(default)s)")
    add("--bind", default="127.0.0.1", metavar="ADDRESS", help="default: %(default)s")
    add("--port", type=int, default=PORT, metavar="N", help="default: %(default)s")
    add(
        "--allow",
        action="append",
        default=[],
        metavar="AET[@ADDRESS]",
        help="a caller that is let in, its address or network; may repeat",
    )
    add(
        "--quiet-seconds",
        type=_amount,
        default=5.0,
        metavar="S",
        help="a study is complete so long after its association is released (default: 5)",
    )
    add("--largest-study", type=_amount, default=8.0, metavar="GIB", help="default: %(default)g")
    add("--keep-free", type=_amount, default=1.0, metavar="GIB", help="of the disk (default: 1)")
    add("--retry-failed", action="store_true", help="try the studies in queue/failed once more")
    return parser


def _amount(text: str) -> float:
    """A number of 0 or more; argparse makes a usage error of a ValueError."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def _worded(outcome: Outcome) -> str:
    """A line about what became of a study."""
    line = f"study {outcome.study_uid}: {outcome.state}"
    if outcome.results:
        line += f" {cli.count_of(outcome.results, 'result')}"
    if outcome.why:
        line += f": {outcome.why}"
    return line + (f"; again in {outcome.retry_s:g} s" if outcome.retry_s else "")
