"""A message is one short line, whatever stands in the file that it is about."""

from __future__ import annotations

import pickle

import pytest

from lungdx_paddle.errors import LONGEST_PART, LidcError, LungdxError, ManifestError


def test_a_message_says_where_what_and_what_to_do() -> None:
    error = LungdxError("crops/ü.jpg", expected="a crop", found="a text", fix="leave it out")
    assert str(error) == "crops/ü.jpg: expected a crop, found a text; leave it out"


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("a\nb\r\nc", r"a\nb\r\nc"),
        ("\x1b]0;title\x07\x1b[2J", r"\x1b]0;title\x07\x1b[2J"),  # would change a terminal
        ("\udcfc", r"\udcfc"),  # a byte that no UTF-8 can be written from
        ("\u202egpj", r"\u202egpj"),  # would be shown from right to left
    ],
)
def test_what_a_terminal_would_obey_is_escaped(found: str, shown: str) -> None:
    assert f"found {shown}; correct it" in str(LidcError("a", "b", found, "correct it"))


def test_of_a_long_part_both_ends_are_shown() -> None:
    message = str(LidcError("/home/" + "x" * 10**7 + "/last.dcm", "a file", "\0" * 10**7, "go"))
    assert message.startswith("/home/x") and "xxx...xxx" in message and "x/last.dcm: exp" in message
    assert message.isprintable() and len(message) < 8 * LONGEST_PART


def test_an_error_comes_home_from_a_worker_as_it_was() -> None:
    error = ManifestError("a\n" * 500, "b", "c\x1b", "d")
    home = pickle.loads(pickle.dumps(error))
    assert type(home) is ManifestError and str(home) == str(error)
