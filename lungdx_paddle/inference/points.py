"""Points of nodules in a JSON file, in mm."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import UnreadableError, read_json

ANY_SERIES = ""
"""In place of a series UID: the points name no series."""


@dataclass(frozen=True)
class NamedPoint:
    """A place in a patient."""

    place_mm: tuple[float, float, float]
    """x, y, z in the patient's coordinates (DICOM PS3.3, C.7.6.2.1.1): to the left, to the back
    and to the head."""
    name: str = ""


def read_points(path: Path) -> dict[str, list[NamedPoint]]:
    """Read points: ``{series UID: [[x, y, z], ...]}``, or the file of LUNA25.

    LUNA25's ``nodule-locations.json`` names no series: its points stand under
    :data:`ANY_SERIES`.  It may also stand in place of the list, under a series UID.

    Raises:
        ConfigError: the file cannot be read, or is neither.
    """
    try:
        content = read_json(path)
        if not isinstance(content, Mapping):
            raise ValueError("no object at the top")
        by_series = {ANY_SERIES: content} if "points" in content else content
        return {str(uid): list(_points(value)) for uid, value in by_series.items()}
    except (UnreadableError, ValueError) as error:
        raise ConfigError(
            str(path),
            expected="points in mm by series, or LUNA25's nodule-locations.json",
            found=str(error),
            fix='write {"1.2.3": [[-83.5, 41.0, -120.0]]}, the key being a series instance UID',
        ) from None


def points_of(points: Mapping[str, list[NamedPoint]], series_uid: str) -> list[NamedPoint]:
    """The points of a series; those that name none, where it has none of its own.

    Raises:
        ConfigError: there are none.
    """
    found = points.get(series_uid) or points.get(ANY_SERIES)
    if not found:
        raise ConfigError(
            f"points of series {series_uid}",
            expected="a point or more",
            found=f"points of {', '.join(sorted(points)[:3]) or 'no series'}",
            fix="give the points of this series",
        )
    return found


def _points(value: Any) -> Iterator[NamedPoint]:
    points = value.get("points") if isinstance(value, Mapping) else value
    if not isinstance(points, list):
        raise ValueError(f"no list of points but {str(value)[:40]!r}")
    for point in points:
        place, name = point, ""
        if isinstance(point, Mapping):
            place, name = point.get("point"), str(point.get("name") or "")
        numbers = isinstance(place, list) and all(type(n) in (int, float) for n in place)
        if not numbers or len(place) != 3 or not all(map(math.isfinite, place)):
            raise ValueError(f"no x, y and z in mm but {str(place)[:40]!r}")
        x, y, z = map(float, place)
        yield NamedPoint((x, y, z), name)
