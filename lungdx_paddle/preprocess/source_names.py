"""How the files of a source are named: from the folder or archive that the user gave.

Workers elsewhere know another current folder and need absolute paths, but a report that is
passed on must not tell in whose home folder the data lie.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from lungdx_paddle.errors import LungdxError


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path with all folders above it.  A link keeps its name."""
    return Path(os.path.abspath(path))


def named(text: str, *sources: Path | None) -> str:
    """A text in which files are named from their source on, its own name first.

    Args:
        text: a path, a reason or a warning with absolute paths.
        sources: what the user gave.
    """
    for path in (absolute(source) for source in sources if source is not None):
        if path.name:
            text = text.replace(str(path), path.name)
    return text


@contextlib.contextmanager
def as_given(*sources: Path | None) -> Iterator[None]:
    """Errors about absolute paths name them as the user gave them.

    Raises:
        LungdxError: as within.
    """
    try:
        yield
    except LungdxError as error:
        text = str(error)
        for source in (source for source in sources if source is not None):
            text = text.replace(str(absolute(source)), str(source))
        error.args = (text,)
        raise
