"""Elements, texts and numbers of a XML file that may come from anywhere."""

from __future__ import annotations

import re
from functools import lru_cache
from xml.etree import ElementTree
from xml.etree.ElementTree import Element
from xml.parsers import expat

from lungdx_paddle.errors import LidcError

LARGEST_XML_BYTES = 8 * 2**20
"""LIDC's largest file has 2.2 MB; one of 8 MB, whatever is in it, takes 300 MB and 2 s."""

_WHOLE = re.compile(r"([+-]?[0-9]{1,9})(?:\.0*|,(?!000$)0+)?")  # 1,000 may be one or a thousand


def parse_xml(name: str, data: bytes) -> Element:
    """The outermost element of a XML file.

    Args:
        name: of the file, for messages.
        data: its bytes, or the first :data:`LARGEST_XML_BYTES` and one more.

    Raises:
        LidcError: it is broken, too large, or has a document type.
    """

    def refuse(*_: object) -> None:
        raise ValueError("a document type or entity")  # which can fill the memory

    fix = "download the file again, or save it as UTF-8"
    try:
        if len(data) > LARGEST_XML_BYTES:
            fix = "leave the file out"
            raise ValueError(f"more than {LARGEST_XML_BYTES} bytes")
        if not data:
            raise expat.ExpatError("an empty file")
        # A parser of its own, since ElementTree's goes on to the file's end when it has refused.
        scanner = expat.ParserCreate()
        scanner.StartDoctypeDeclHandler = refuse
        scanner.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError) as error:
        found = f"broken or cut off XML ({error})"
    except (ValueError, LookupError) as error:  # an encoding that does not exist
        found = str(error)
    raise LidcError(name, expected="a LIDC XML file", found=found, fix=fix)


def tag_of(element: Element) -> str:
    """Its name without the namespace."""
    return str(element.tag).rpartition("}")[2]


def children(parent: Element, tag: str) -> list[Element]:
    """An element's children of that name."""
    return [element for element in parent if tag_of(element) == tag]


def text_of(parent: Element, tag: str) -> str:
    """The text of the first child of that name; UIDs and z positions carry white space."""
    return next((e.text or "" for e in parent if tag_of(e) == tag), "").strip()


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
