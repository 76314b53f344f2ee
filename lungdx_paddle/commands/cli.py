"""Shared by all commands: common arguments, exit codes, one-line error messages.

A command parses its arguments, makes one call and prints.  It ends with 0, with 2 when
the user can correct what is wrong, with 1 when it is a bug; never with a traceback,
unless ``LUNGDX_DEBUG=1`` is set.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import io
import logging
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from lungdx_paddle.config import SHIPPED_CONFIGS, find_config
from lungdx_paddle.errors import LungdxError, OutputError
from lungdx_paddle.extras import failed_import
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import ensure_home, expand_home, quiet_paddle
from lungdx_paddle.words import count_of as count_of

USER_MISTAKE, OUR_MISTAKE, INTERRUPTED = 2, 1, 130

DEFAULT_CONFIG = SHIPPED_CONFIGS / "partial_soft.yaml"

_CONTINUE = {
    "train": "; the same command with --resume continues",
    "preprocess": "; the same command continues",
    "compare": "; the same command continues",
}
"""How a command that Ctrl-C has stopped is continued."""


_ESCAPE = "lungdx-escape"
"""Name of the error handler of stdout and stderr."""

_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What moves the cursor, changes the terminal or the direction of a text; a tab stays."""


class Parser(argparse.ArgumentParser):
    """Names commands as this process was started, and takes ``~`` as every shell does."""

    def format_help(self) -> str:  # noqa: D102
        return as_called(super().format_help())

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:  # noqa: D102
        known, others = super().parse_known_args(args, namespace)
        for name, value in vars(known).items():  # a shell leaves the ~ of --out=~/x as it is
            if isinstance(value, Path):
                setattr(known, name, Path(expand_home(str(value))))
            elif isinstance(value, list):
                own = [Path(expand_home(str(v))) if isinstance(v, Path) else v for v in value]
                setattr(known, name, own)
        return known, others


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
    _open_screen()
    os.environ["MPLBACKEND"] = "Agg"  # no window; a notebook's shell sets one of its own
    quiet_paddle()
    try:
        ensure_home()
        with _log_on_screen():
            main(argv)
        return 0
    except KeyboardInterrupt:
        return _stopped()
    except LungdxError as error:
        return _fail(str(error), USER_MISTAKE)
    except BrokenPipeError:  # the reader of our output, such as head, has gone
        _print_no_more()
        return 0
    except UnicodeEncodeError as error:
        return _fail(str(_no_such_character(error)), USER_MISTAKE)
    except Exception as error:
        if _was_interrupted(error):
            return _stopped()
        if failed := failed_import(error):
            return _fail(str(failed), USER_MISTAKE)
        if os.environ.get("LUNGDX_DEBUG") == "1":
            raise
        kind = type(error).__name__
        hint = "this is a bug; LUNGDX_DEBUG=1 shows the traceback to report"
        return _fail(f"{kind}: {' '.join(str(error).split())}; {hint}", OUR_MISTAKE)


def say(*lines: str) -> None:
    """Print lines on stdout, above a progress bar if there is one.

    Raises:
        OutputError: stdout is a file on a full disk.
        BrokenPipeError: nobody reads stdout any more; the command ends with 0.
    """
    from tqdm import tqdm

    try:
        tqdm.write("\n".join(_printable(as_called(line)) for line in lines))
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
    sys.stderr.write(f"{_printable(as_called(line))}\n")


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


def _stopped() -> int:
    how = _CONTINUE.get(_name().split()[-1], "")
    return _fail(f"stopped; what was written so far is kept{how}", INTERRUPTED)


def _was_interrupted(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error, as where a compiled module was being imported."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def _open_screen() -> None:
    """Have a stdout and stderr that take every text, whatever their encoding is."""
    codecs.register_error(_ESCAPE, _escape)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ESCAPE)


def _escape(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return _escaped(error.object[error.start : error.end]), error.end


def _no_such_character(error: UnicodeEncodeError) -> LungdxError:
    return LungdxError(
        "a text or the name of a file",
        expected=f"characters of this shell's encoding ({error.encoding})",
        found=repr(error.object[error.start : error.end]),
        fix="set PYTHONUTF8=1, or give a path of other characters",
    )


def _printable(line: str) -> str:
    """A line whose control characters, such as a terminal's commands, are escaped."""
    return _UNPRINTABLE.sub(lambda match: _escaped(match[0]), line)


def _escaped(text: str) -> str:
    r"""Each character as ``\uXXXX``, which JSON reads back."""
    return "".join(rf"\u{u}" for u in text.encode("utf-16-be", "surrogatepass").hex(" ", 2).split())


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
    sys.stderr.write(f"{_name()}: {_printable(as_called(message))}\n")
    return code
