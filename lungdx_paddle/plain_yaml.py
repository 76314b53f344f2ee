"""Read the part of YAML that a settings file needs: keys, lists and texts, a little of each.

Whoever writes a file for us cannot make it cost more than it is long: there are no anchors,
whose copies of copies grow to billions, no tags, which would have their own readers, and no
values but texts.  So ``2026-11-26`` is no date, ``1e-4`` no riddle and a number of 400 digits
nothing special; who reads a setting converts it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import yaml

from lungdx_paddle.files import UnreadableError, read_text

LARGEST_YAML_BYTES = 2**16
"""Ten times the longest file of ours; PyYAML takes up to a second for so much."""

DEEPEST = 20
"""Levels of keys and lists in each other; ours have four."""

_NULL = ("", "~", "null", "Null", "NULL")
_END = object()
"""Stands for the end of a list or of keys."""


def read_yaml(path: str | os.PathLike[str]) -> Any:
    """What a YAML file holds, as :func:`parse_yaml` reads it.

    Raises:
        UnreadableError: it cannot be read, has more than :data:`LARGEST_YAML_BYTES`, is not UTF-8,
            or as :func:`parse_yaml`.
    """
    return parse_yaml(read_text(path, LARGEST_YAML_BYTES))


def parse_yaml(text: str) -> Any:
    """A dict, a list, a text or None; what stands in them is of these kinds, too.

    Raises:
        UnreadableError: it is too long or too deep, is no YAML, has an anchor, an alias or a tag, a
            key twice, a key that is no text, or several documents.
    """
    if len(text) > LARGEST_YAML_BYTES:
        raise UnreadableError(f"more than {LARGEST_YAML_BYTES} characters")
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    values = (e for e in events if isinstance(e, (yaml.NodeEvent, yaml.CollectionEndEvent)))
    try:
        read = _next(values, 0)
        if next(values, None) is not None:
            raise UnreadableError("a second document below ---")
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # "\\UFFFFFFFF" is no character
        raise UnreadableError(" ".join(str(error).split())) from error
    return None if read is _END else read


def _next(events: Iterator[Any], depth: int) -> Any:
    """The value that begins with the next event, or ``_END``."""
    event = next(events, None)
    if event is None or isinstance(event, yaml.CollectionEndEvent):
        return _END
    where = f"on line {event.start_mark.line + 1}"
    if event.anchor is not None:
        raise UnreadableError(f"an anchor or an alias (&{event.anchor}) {where}")
    if event.tag is not None:
        raise UnreadableError(f"a tag ({event.tag}) {where}")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.implicit[0] and event.value in _NULL else event.value
    if depth == DEEPEST:
        raise UnreadableError(f"more than {DEEPEST} levels {where}")
    items = list(iter(lambda: _next(events, depth + 1), _END))
    if isinstance(event, yaml.SequenceStartEvent):
        return items
    read: dict[str, Any] = {}
    for key, value in zip(items[::2], items[1::2]):
        if not isinstance(key, str):
            raise UnreadableError(f"a key that is no text below the keys {where}")
        if key in read:
            raise UnreadableError(f"the key {key[:80]!r} twice in the keys that begin {where}")
        read[key] = value
    return read
