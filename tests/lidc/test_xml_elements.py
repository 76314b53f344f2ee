"""XML of any writer becomes names, texts and numbers, or one clear error, in bounded memory."""

from __future__ import annotations

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.xml_elements import (
    LARGEST_XML_BYTES,
    children,
    parse_xml,
    text_of,
    whole_number,
)


def test_names_have_no_namespace_and_children_their_order() -> None:
    inner = b'<y xmlns="two"> 1 <!-- c -->2 </y><a:y/><z b="3"/>'
    data = b'<a:x xmlns:a="one">' + inner + b"</a:x>"
    name, content = parse_xml("x.xml", data)
    assert (name, content) == ("x", [("y", " 1 2 "), ("y", ""), ("z", "")])
    assert (children(content, "y"), text_of(content, "y")) == ([" 1 2 ", ""], "1 2")
    assert (children("text", "y"), text_of(content, "w")) == ([], "")


def test_an_element_with_children_has_no_text() -> None:
    _, content = parse_xml("x.xml", b"<x><y>3<z/>4</y></x>")
    assert text_of(content, "y") == ""


@pytest.mark.parametrize("text", ["312", " 312\n", "312.0", "312.", "312,00", "+312"])
def test_a_whole_number_is_read_as_programs_write_it(text: str) -> None:
    assert whole_number(text) == 312


@pytest.mark.parametrize("text", ["", "1,000", "3.5", "3,5", "1_0", "0x3", "3 4", "nan", "\u0663"])
def test_what_is_no_whole_number_or_may_be_two_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=repr(text)):
        whole_number(text)


def test_a_number_of_many_digits_is_refused_and_cut_off() -> None:
    with pytest.raises(ValueError) as error:
        whole_number("9" * 5000)
    assert len(str(error.value)) < 30


def test_entities_are_not_expanded_and_nothing_outside_is_read() -> None:
    for inner in ('<!ENTITY a "lol">', '<!ENTITY a SYSTEM "file:///etc/passwd">', ""):
        with pytest.raises(LidcError, match="found a document type or entity"):
            parse_xml("x.xml", f"<!DOCTYPE x [{inner}]><x>&a;</x>".encode())


def test_what_is_too_large_is_not_parsed() -> None:
    with pytest.raises(LidcError, match=f"found more than {LARGEST_XML_BYTES} bytes; leave"):
        parse_xml("x.xml", b"<x>" + b" " * LARGEST_XML_BYTES + b"</x>")


@pytest.mark.parametrize("data", [b"", b" \n", b"\0" * 9, b"text", b"PK\3\4", b"<x>", b"<x/><x/>"])
def test_what_is_no_xml_is_one_clear_error(data: bytes) -> None:
    with pytest.raises(
        LidcError, match=r"x\.xml: expected a LIDC XML file, found (broken or cut|no XML)"
    ):
        parse_xml("x.xml", data)
