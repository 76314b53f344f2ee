"""Places are read as users write them, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.inference.place_names import parse_numbers, parse_point, slice_index
from lungdx_paddle.lidc import Series, find_series
from lungdx_paddle.phantom import PhantomSettings, write_phantom


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Series:
    folder = tmp_path_factory.mktemp("scan")
    write_phantom(folder, 1, jobs=1, settings=PhantomSettings(rows=64, slices=6, nodules=(1, 1)))
    return find_series(folder)[0][0]


@pytest.mark.parametrize("slice_", ["87", "instance=12", "z=-120.5", "file=a/b.dcm"])
def test_a_point_is_two_pixels_and_the_name_of_a_slice(slice_: str) -> None:
    assert parse_point(f"312,360.5,{slice_}") == (312.0, 360.5, slice_)


@pytest.mark.parametrize("text", ["", "1,2", "1,2,3,4", "a,2,3", "1,2,3.5", "1,2,1e3", "1,2,q=3"])
def test_what_is_no_point_is_an_error_that_shows_the_format(text: str) -> None:
    with pytest.raises(ConfigError, match="expected x,y,slice.*--nodule 312,360,87.*instance=N"):
        parse_point(text)


def test_numbers_are_as_many_as_their_names() -> None:
    assert parse_numbers("--point-mm", "1,-2.5,3", "x,y,z") == (1.0, -2.5, 3.0)
    for text in ("1,2", "1,2,nan", "1,2,c"):
        with pytest.raises(ConfigError, match="--point-mm .*: expected x,y,z: numbers with commas"):
            parse_numbers("--point-mm", text, "x,y,z")


def test_a_slice_has_four_names(series: Series) -> None:
    for index, slice_ in enumerate(series.slices):
        names = (
            str(index),
            f"instance={slice_.instance}",
            f"z={slice_.position_mm[2] + 0.3}",
            f"file=elsewhere/{Path(str(slice_.file)).name}",
        )
        assert [slice_index(series, name) for name in names] == [index] * 4


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("instance=999", "instance numbers from 1 to 6"),
        ("z=1e4", "slices from .* to .* mm"),
        ("file=none.dcm", "files such as .*dcm"),
    ],
)
def test_a_name_that_no_slice_has_says_which_there_are(
    series: Series, name: str, found: str
) -> None:
    with pytest.raises(LidcError, match=f"slice {name}: .* found 0; there are {found}"):
        slice_index(series, name)
