"""Elements, texts and numbers of a XML file that may come from anywhere."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias
from xml.parsers import expat

from lungdx_paddle.errors import LidcError

LARGEST_XML_BYTES = 8 * 2**20
"""LIDC's largest file has 2.2 MB; one of 8 MB, whatever is in it, takes 300 MB and 2 s."""

_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*|,(?!000$)0+)?")  # 1,000 may be one or a thousand


Content: TypeAlias = "str | list[tuple[str, Content]]"
"""What is in an element: its text, or else its children in their order, each with its name."""


def parse_xml(name: str, data: bytes) -> tuple[str, Content]:
    """The outermost element of a XML file: its name and its content.

    Names are without namespaces; attributes are left out.

    Args:
        name: of the file, for messages.
        data: its bytes, or the first :data:`LARGEST_XML_BYTES` and one more.

    Raises:
        LidcError: it is broken, too large, or has a document type.
    """
    fix = "download the file again, or save it as UTF-8"
    try:
        if len(data) > LARGEST_XML_BYTES:
            fix = "leave the file out"
            raise ValueError(f"more than {LARGEST_XML_BYTES} bytes")
        if not data:
            raise expat.ExpatError("an empty file")
        return _build(data)
    except expat.ExpatError as error:
        start = data.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xfe\xff \t\r\n")[:1]
        found = f"{'broken or cut off' if start in (b'', b'<') else 'no'} XML ({error})"
    except (ValueError, LookupError) as error:  # an encoding that does not exist
        found = str(error)
    raise LidcError(name, expected="a LIDC XML file", found=found, fix=fix)


def _build(data: bytes) -> tuple[str, Content]:
    open_elements: list[list[tuple[str, Content]]] = [[]]
    text: list[str] = []

    def refuse(*_: object) -> None:
        raise ValueError("a document type or entity")  # which can fill the memory

    def start(tag: str, _: object) -> None:
        open_elements.append([])
        text.clear()

    def end(tag: str) -> None:
        children = open_elements.pop()
        open_elements[-1].append((local_name(tag), children or "".join(text)))

    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text.append
    parser.Parse(data, True)
    return open_elements[0][0]


@lru_cache(maxsize=2**8)
def local_name(tag: str) -> str:
    """The name of an element without its namespace."""
    return tag.rpartition("}")[2]


def children(parent: Content, name: str) -> list[Content]:
    """The contents of an element's children of that name."""
    return [] if isinstance(parent, str) else [child for n, child in parent if n == name]


def text_of(parent: Content, name: str) -> str:
    """The text of the first child of that name; UIDs and z positions carry white space."""
    found = next(iter(children(parent, name)), "")
    return found.strip() if isinstance(found, str) else ""


@lru_cache(maxsize=2**13)
def whole_number(text: str) -> int:
    """The whole number that is written as 3, 3.0 or 3,0.

    Raises:
        ValueError: it is none, or 1,000 and the like, which may be one or a thousand.
    """
    match = _WHOLE.fullmatch(text.strip())
    if match is None:
        raise ValueError(repr(text[:20]))
    return int(match[1])
