"""Points in a file, of the package's own layout or LUNA25's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lungdx_paddle.errors import ConfigError
from lungdx_paddle.inference.points import NamedPoint, points_of, read_points


def written(folder: Path, content: object) -> Path:
    path = folder / "points.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_points_are_of_a_series_or_of_any(tmp_path: Path) -> None:
    own = read_points(written(tmp_path, {"1.2": [[1, 2.5, -3]], "1.3": []}))
    assert points_of(own, "1.2") == [NamedPoint((1.0, 2.5, -3.0))]
    luna = {"name": "Points", "points": [{"name": "first", "point": [1, 2, 3]}]}
    assert points_of(read_points(written(tmp_path, luna)), "9") == [
        NamedPoint((1.0, 2.0, 3.0), "first")
    ]
    with pytest.raises(ConfigError, match=r"points of series 9: .* found points of 1\.2, 1\.3"):
        points_of(own, "9")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([], "no object at the top"),
        ({"1.2": "x"}, "no list of points but 'x'"),
        ({"1.2": [[1, 2]]}, r"no x, y and z in mm but '\[1, 2\]'"),
        ({"1.2": [[1, 2, True]]}, "no x, y and z in mm"),
        ({"points": [{"name": "a"}]}, "no x, y and z in mm but 'None'"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: object, found: str) -> None:
    with pytest.raises(ConfigError, match=f"expected points in mm by series.* found {found}"):
        read_points(written(tmp_path, content))
