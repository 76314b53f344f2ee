"""Places in a CT as users write them: pixels, slices by any of their names, numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.locate import (
    regions_of_boxes,
    regions_of_places,
    regions_of_points,
)
from lungdx_paddle.inference.points import NamedPoint
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.regions import Region

SLICE_NAMES = (
    "the slice is its index, from 0 at the caudal end, or instance=N, z=MM or file=NAME, as "
    "viewers show it"
)


def parse_point(text: str) -> tuple[float, float, str]:
    """Read ``x,y,slice``, where the slice is named as :func:`slice_index` takes it.

    Raises:
        ConfigError: it is written otherwise.
    """
    try:
        x, y, slice_ = text.split(",")
        _check_slice_name(slice_)
        return float(x), float(y), slice_
    except ValueError:
        raise ConfigError(
            f"--nodule {text}",
            expected="x,y,slice",
            found=repr(text),
            fix=f"write for example --nodule 312,360,87; {SLICE_NAMES}",
        ) from None


def parse_numbers(option: str, text: str, names: str) -> tuple[float, ...]:
    """Read numbers with commas between them, as many as ``names`` has.

    Raises:
        ConfigError: they are not.
    """
    try:
        numbers = tuple(map(float, text.split(",")))
        if len(numbers) != len(names.split(",")) or not all(map(math.isfinite, numbers)):
            raise ValueError
        return numbers
    except ValueError:
        raise ConfigError(
            f"{option} {text}",
            expected=f"{names}: numbers with commas between them",
            found=repr(text),
            fix=f"write for example {option}={','.join('10' for _ in names.split(','))}",
        ) from None


def regions_named(
    nodules: Sequence[str] = (), points_mm: Sequence[str] = (), boxes: Sequence[str] = ()
) -> Callable[[Series], list[Region]]:
    """A function that finds the nodules at places of a series, as users write them.

    Args:
        nodules: ``x,y,slice``, as :func:`parse_point` reads them; or
        points_mm: ``x,y,z`` in the patient's coordinates; or
        boxes: ``x,y,slice,x,y,slice``, the first and the last pixel and slice.

    Raises:
        ConfigError: one is written otherwise.
    """
    pixels = [parse_point(text) for text in nodules]
    numbers = [parse_numbers("--point-mm", text, "x,y,z") for text in points_mm]
    places = [NamedPoint((x, y, z)) for x, y, z in numbers]
    corners = [parse_numbers("--box", text, "x,y,slice,x,y,slice") for text in boxes]

    def regions(series: Series) -> list[Region]:
        if pixels:
            points = [(x, y, slice_index(series, name)) for x, y, name in pixels]
            return regions_of_points(series, points)
        return regions_of_boxes(series, corners) if corners else regions_of_places(series, places)

    return regions


def _check_slice_name(name: str) -> None:
    kind, _, value = name.rpartition("=")
    if kind in ("", "instance"):
        int(value)
    elif kind == "z":
        float(value)
    elif kind != "file" or not value:
        raise ValueError


def slice_index(series: Series, name: str) -> int:
    """The index of a slice by any of its names.

    Args:
        series: the CT.
        name: the index itself, from 0 at the caudal end; ``instance=N``, DICOM (0020,0013);
            ``z=MM``, its position along the slice normal, to the nearest slice; ``file=NAME``.

    Raises:
        LidcError: no slice has that name, or several.
    """
    kind, _, value = name.rpartition("=")
    if kind == "":
        return int(value)  # that it exists is seen when the point is
    slices = series.slices
    z_mm = series.z_mm
    if kind == "z":
        nearest = int(np.abs(z_mm - float(value)).argmin())
        fitting = [nearest] if abs(z_mm[nearest] - float(value)) <= series.spacing_zyx_mm[0] else []
        there = f"slices from {z_mm[0]:g} to {z_mm[-1]:g} mm"
    elif kind == "instance":
        fitting = [i for i, s in enumerate(slices) if s.instance == int(value)]
        numbers = [s.instance for s in slices]
        there = f"instance numbers from {min(numbers)} to {max(numbers)}"
    else:
        fitting = [i for i, s in enumerate(slices) if Path(str(s.file)).name == Path(value).name]
        there = f"files such as {Path(str(slices[0].file)).name}"
    if len(fitting) != 1:
        raise LidcError(
            f"slice {name}",
            expected="one slice of that name",
            found=f"{len(fitting)}; there are {there}",
            fix=SLICE_NAMES,
        )
    return fitting[0]
