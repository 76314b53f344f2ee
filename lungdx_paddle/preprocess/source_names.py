"""How the files of a source are named: from the folder or archive that the user gave.

Workers elsewhere know another current folder and need absolute paths, but a report that is
passed on must not tell in whose home folder the data lie.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from lungdx_paddle.errors import LungdxError

Value = TypeVar("Value")


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path with all folders above it.  A link keeps its name."""
    return Path(os.path.abspath(path))


def named(value: Value, *sources: Path | None) -> Value:
    """The same with files named from their source on, its own name first.

    Args:
        value: a text with absolute paths, or a list, tuple or dataclass that holds such.
        sources: what the user gave.
    """
    found: Any = value
    if isinstance(found, str):
        for path in (absolute(source) for source in sources if source is not None):
            found = found.replace(str(path), path.name) if path.name else found
    elif isinstance(found, (list, tuple)):
        found = type(found)(named(item, *sources) for item in found)
    elif is_dataclass(value):
        its = {f.name: named(getattr(value, f.name), *sources) for f in fields(value)}
        found = replace(found, **its)
    return found


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
