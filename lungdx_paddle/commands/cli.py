"""Shared by all commands: common arguments, exit codes, one-line error messages.

A command parses its arguments, makes one call and prints.  It ends with 0, with 2 when
the user can correct what is wrong, with 1 when it is a bug; never with a traceback,
unless ``LUNGDX_DEBUG=1`` is set.
"""

from __future__ import annotations

import argparse
import atexit
import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from lungdx_paddle.config import SHIPPED_CONFIGS, find_config
from lungdx_paddle.errors import LungdxError, OutputError
from lungdx_paddle.extras import failed_import
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import quiet_paddle
from lungdx_paddle.words import count_of as count_of

USER_MISTAKE, OUR_MISTAKE, INTERRUPTED = 2, 1, 130

DEFAULT_CONFIG = SHIPPED_CONFIGS / "partial_soft.yaml"

_CONTINUE = {
    "train": "; the same command with --resume continues",
    "preprocess": "; the same command continues",
    "compare": "; the same command continues",
}
"""How a command that Ctrl-C has stopped is continued."""


class Parser(argparse.ArgumentParser):
    """Names commands as this process was started: ``python tools/X.py`` or ``lungdx X``."""

    def format_help(self) -> str:  # noqa: D102
        return as_called(super().format_help())


def parser(description: str | None, example: str) -> argparse.ArgumentParser:
    """A parser whose help shows the description and an example that can be copied.

    Args:
        description: the command's module docstring.
        example: a whole line that begins with ``python tools/X.py``.
    """
    made = Parser(
        prog=as_called(" ".join(example.split()[:2])),
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made._negative_number_matcher = re.compile(r"^-\d")  # --window -600,1500 is no option
    return made


def add_arguments(to: argparse.ArgumentParser, *names: str) -> None:
    """Add options that several commands have.

    Args:
        to: a command's parser.
        names: ``config`` (``-c FILE``), ``override`` (``-o a.b=c ...``, which may repeat) and
            ``device`` (``--device cpu|gpu``).
    """
    if "config" in names:
        shipped = ", ".join(sorted(path.stem for path in SHIPPED_CONFIGS.glob("*.yaml")))
        to.add_argument(
            "-c",
            "--config",
            type=find_config,
            default=DEFAULT_CONFIG,
            metavar="FILE",
            help=f"YAML file, or one of {shipped} (default: partial_soft)",
        )
    if "override" in names:
        to.add_argument(
            "-o",
            "--override",
            action="extend",
            nargs="+",
            default=[],
            metavar="KEY=VALUE",
            help="change single settings, such as data.split=patient train.steps=200",
        )
    if "device" in names:
        text = "where to compute (default: the GPU if this Paddle has one)"
        to.add_argument("--device", choices=("cpu", "gpu"), help=text)


def run(
    main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None
) -> NoReturn:
    """Run a command's ``main`` and end the process with its exit code."""
    code = exit_code(main, argv)
    if code == INTERRUPTED:
        # A second Ctrl-C would be raised while Python ends its threads, and abort the process.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def exit_code(
    main: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None
) -> int:
    """Run a command's ``main`` on ``argv``; errors become one line on stderr and a code."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
    _ensure_home()
    os.environ["MPLBACKEND"] = "Agg"  # no window; a notebook's shell sets one of its own
    quiet_paddle()
    try:
        with _log_on_screen():
            main(argv)
        return 0
    except KeyboardInterrupt:
        how = _CONTINUE.get(_name().split()[-1], "")
        return _fail(f"stopped; what was written so far is kept{how}", INTERRUPTED)
    except LungdxError as error:
        return _fail(str(error), USER_MISTAKE)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        _print_no_more()
        return 0
    except Exception as error:
        if failed := failed_import(error):
            return _fail(str(failed), USER_MISTAKE)
        if os.environ.get("LUNGDX_DEBUG") == "1":
            raise
        kind = type(error).__name__
        hint = "this is a bug; LUNGDX_DEBUG=1 shows the traceback to report"
        return _fail(f"{kind}: {' '.join(str(error).split())}; {hint}", OUR_MISTAKE)


def say(line: str) -> None:
    """Print a line on stdout, above a progress bar if there is one.

    Raises:
        OutputError: stdout is a file on a full disk.
        BrokenPipeError: nobody reads stdout any more; the command ends with 0.
    """
    from tqdm import tqdm

    try:
        tqdm.write(as_called(line))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _print_no_more()
        raise OutputError(
            "stdout",
            expected="a place that can be written to",
            found=str(error.strerror),
            fix="free some space",
        ) from error


def note(line: str) -> None:
    """Print a line on stderr, where it is not in the way of a program that reads stdout."""
    sys.stderr.write(f"{as_called(line)}\n")


def as_called(text: str) -> str:
    """Replace ``tools/X.py`` by ``lungdx X`` in a text, if this process was started so."""
    if _name().split()[0] != "lungdx":
        return text
    return re.sub(r"(?:python )?tools/(\w+)\.py", r"lungdx \1", text)


def quoted(*words: str | Path) -> str:
    """Join words to a command line that a POSIX shell splits into the same words."""
    return shlex.join(map(str, words))


class _Screen(logging.Handler):
    """Log handler that prints on stdout; a closed or full stdout does not stop the work."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            say(record.getMessage())
        except (BrokenPipeError, OutputError):
            _print_no_more()


@contextlib.contextmanager
def _log_on_screen() -> Iterator[None]:
    """Print what the package logs, and of Matplotlib's log only warnings."""
    logging.getLogger("matplotlib").setLevel(logging.WARNING)
    screen, level, propagate = _Screen(), log.level, log.propagate
    log.addHandler(screen)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(screen)
        log.setLevel(level)
        log.propagate = propagate


def _ensure_home() -> None:
    """Set HOME to a temporary folder for caches if the home folder is not writable.

    VisualDL (``~/.visualdl``), Matplotlib and Paddle (``~/.cache``) would end or warn.
    """
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return
    except (OSError, RuntimeError):  # RuntimeError: there is none
        home = tempfile.mkdtemp(prefix="lungdx-home-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        os.environ["HOME"] = home


def _print_no_more() -> None:
    """Redirect stdout to the null device from now on."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name() -> str:
    """How this process was started: ``lungdx`` and its subcommand, or the name of a tool."""
    program = Path(sys.argv[0])
    if program.stem == "lungdx" or program.parent.name == "lungdx_paddle":
        return " ".join(["lungdx", *sys.argv[1:2]])
    return program.stem


def _fail(message: str, code: int) -> int:
    try:
        sys.stdout.flush()
    except OSError:
        _print_no_more()
    sys.stderr.write(f"{_name()}: {as_called(message)}\n")
    return code
