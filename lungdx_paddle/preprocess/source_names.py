"""How the files of a source are named: from the folder or archive that the user gave.

Workers elsewhere know another current folder and need absolute paths, but a report that is
passed on must not tell in whose home folder the data lie.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
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
        paths = [absolute(source) for source in sources if source is not None]
        found = _with_names(found, {str(path): path.name for path in paths if path.name})
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
        given = {str(absolute(source)): str(source) for source in sources if source is not None}
        error.args = (_with_names(str(error), given),)
        raise


def _with_names(text: str, names: Mapping[str, str]) -> str:
    """The text with each path's name instead of it; ``/data`` is in ``/data/data`` once."""
    paths = "|".join(map(re.escape, names))
    return (
        text
        if not names
        else re.sub(rf"(?<![\w.-])(?:{paths})(?![\w-])", lambda m: names[m[0]], text)
    )
