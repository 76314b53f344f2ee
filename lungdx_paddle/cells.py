"""What a cell of the manifest may hold: text to value, or what was expected instead."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any


def _text(value: str) -> str:
    if not value:
        raise ValueError("a text")
    return value


def _image(value: str) -> str:
    path = value.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or path.startswith("/") or ".." in parts or ":" in parts[0]:
        raise ValueError("a path below the manifest's folder")
    return value


def _number(what: str, low: float, high: float = math.inf) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(what) from None
        if not (low < number <= high and math.isfinite(number)):
            raise ValueError(what)
        return number

    return parse


def _integer(what: str, low: int, high: int | None = None) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(what) from None
        if number < low or (high is not None and number > high):
            raise ValueError(what)
        return number

    return parse


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: None if value == "" else parse(value)


def _ratings(value: str) -> tuple[int, ...]:
    parse = _integer("ratings from 1 to 5 joined by ;", 1, 5)
    return tuple(parse(part) for part in value.split(";")) if value else ()


_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "image": _image,
    "patient_id": _text,
    "series_uid": str,
    "nodule": _integer("a whole number from 0", 0),
    "z_mm": _optional(_number("a position in mm or nothing", -math.inf)),
    "pixel_spacing_mm": _number("a spacing in mm above 0", 0),
    "scale": _number("a factor above 0 and up to 1", 0, 1),
    "window_center": _number("a HU value", -math.inf),
    "window_width": _number("a width in HU above 0", 0),
    "readers": _integer("a number of readers from 1", 1),
    "malignancy_ratings": _ratings,
    "diagnosis": _optional(_integer("0, 1, 2, 3 or nothing", 0, 3)),
    "primary_site": str,
}


def cell_parser(column: str) -> Callable[[str], Any]:
    """What makes a value of a cell of ``column``, or raises ValueError with what was expected.

    Spaces around a cell are not part of it.
    """
    parse = _PARSERS[column]
    return lambda cell: parse(cell.strip())
