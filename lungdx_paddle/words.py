"""Counts in words: one image, two images."""

from __future__ import annotations


def count_of(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 image``, ``2 images`` or ``2 series``."""
    return f"{number} {noun}" if number == 1 or noun.endswith("series") else f"{number} {noun}s"
