"""The errors that a user can correct.

Each message is one line that says where, what was expected, what was found and
what to do.  The command line prints it and ends with 2; nothing else is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lungdx_paddle.words import printable

LONGEST_PART = 600
"""Characters of one part of a message, at most: one that quotes another of ours has 500, and a
value of 10 MB from a file must not flood the screen.  Of a longer one the middle is left out,
since a path tells most at its end and a value at its beginning."""


def short_line(text: str) -> str:
    """The text as a part of one line: printable, of a long one the middle left out."""
    if len(text) > LONGEST_PART:
        half = (LONGEST_PART - len("...")) // 2
        text = f"{text[:half]}...{text[-half:]}"
    return printable(text)


class LungdxError(Exception):
    """Root of every error that the user can correct (exit code 2).

    Args:
        where: the file, key or argument that is wrong.
        expected: what would have been right.
        found: what is there instead.
        fix: what to do, as an imperative.
    """

    def __init__(self, where: str, expected: str, found: str, fix: str) -> None:
        where, expected, found, fix = map(short_line, (where, expected, found, fix))
        super().__init__(f"{where}: expected {expected}, found {found}; {fix}")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[type[LungdxError], str]]:
        # Worker processes send errors home by pickle, which would call the class with the message.
        return type(self).__new__, (type(self), str(self))


class ConfigError(LungdxError):
    """A config file, a key or a value of it."""


class ManifestError(LungdxError):
    """The manifest or one of the crops that it names."""


class LidcError(LungdxError):
    """A DICOM file, a LIDC XML file or the diagnosis table."""


class CheckpointError(LungdxError):
    """A checkpoint or an inference model that does not fit or cannot be read."""


class OutputError(LungdxError):
    """A folder or file that cannot be written."""


class InstallError(LungdxError):
    """A package or extra that the task needs and that is not installed."""
