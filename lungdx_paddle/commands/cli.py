"""What every tool's command line has in common: arguments, exit codes, one clear line.

A tool parses, loads its config and makes one call.  It ends with 0, with 2 when the
user can mend what is wrong, and with 1 when the mistake is ours; in neither case with
a traceback, unless ``LUNGDX_DEBUG=1`` asks for it.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lungdx_paddle.errors import LungdxError
from lungdx_paddle.runtime import quiet_paddle, without_paddle

USER_MISTAKE, OUR_MISTAKE, INTERRUPTED = 2, 1, 130

DEFAULT_CONFIG = Path(__file__).resolve().parent.parent.parent / "configs" / "partial_soft.yaml"


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser whose help shows the tool's description and an example to copy."""
    made = argparse.ArgumentParser(
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made._negative_number_matcher = re.compile(r"^-\d")  # --window -600,1500 is no option
    return made


def add_config_arguments(to: argparse.ArgumentParser) -> None:
    """Add ``-c FILE`` and ``-o a.b=c ...`` (which may repeat)."""
    to.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help="configuration (default: configs/partial_soft.yaml)",
    )
    add_override_argument(to)


def add_override_argument(to: argparse.ArgumentParser) -> None:
    """Add ``-o a.b=c ...`` (which may repeat)."""
    to.add_argument(
        "-o",
        "--override",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="change single settings, such as data.split=patient train.steps=200",
    )


def add_device_argument(to: argparse.ArgumentParser) -> None:
    """Add ``--device cpu|gpu``."""
    to.add_argument(
        "--device",
        choices=("cpu", "gpu"),
        help="where to compute (default: the GPU if this Paddle has one)",
    )


def run(main: Callable[[Sequence[str] | None], None]) -> NoReturn:
    """Run a tool's ``main`` and end the process with the right code."""
    code = exit_code(main)
    if code == INTERRUPTED:
        # A second Ctrl-C would be raised while Python ends its threads, and abort the process.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def exit_code(main: Callable[[Sequence[str] | None], None], argv: list[str] | None = None) -> int:
    """Run a tool's ``main`` on ``argv``; errors become one line on stderr and a code."""
    quiet_paddle()
    try:
        main(argv)
        return 0
    except KeyboardInterrupt:
        return _fail("stopped; what was written so far is kept", INTERRUPTED)
    except LungdxError as error:
        return _fail(str(error), USER_MISTAKE)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "paddle":
            return _fail(str(without_paddle(error)), USER_MISTAKE)
        if os.environ.get("LUNGDX_DEBUG") == "1":
            raise
        kind = type(error).__name__
        hint = "this is a mistake of ours; LUNGDX_DEBUG=1 shows the traceback to report"
        return _fail(f"{kind}: {' '.join(str(error).split())}; {hint}", OUR_MISTAKE)


def _fail(message: str, code: int) -> int:
    sys.stdout.flush()
    sys.stderr.write(f"{Path(sys.argv[0]).stem}: {message}\n")
    return code


def say(line: str) -> None:
    """Print a line on stdout, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line)
    sys.stdout.flush()


def note(line: str) -> None:
    """Print a line on stderr, where it is not in the way of a program that reads stdout."""
    sys.stderr.write(f"{line}\n")
