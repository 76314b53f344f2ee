"""Texts for people: counts in words, and what a terminal may be sent."""

from __future__ import annotations

from collections.abc import Sequence


def count_of(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 image``, ``2 images`` or ``2 series``."""
    return f"{number} {noun}" if number == 1 or noun.endswith("series") else f"{number} {noun}s"


EXAMPLES = 3
"""How many of a kind are named."""


def first_few(items: Sequence[str]) -> str:
    """The first :data:`EXAMPLES`, joined by commas, and how many more there are."""
    more = len(items) - EXAMPLES
    return ", ".join(items[:EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def printable(text: str) -> str:
    """The text with each character that is none, or steers a terminal, written as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
