"""HU become gray values as DICOM's LINEAR_EXACT says."""

from __future__ import annotations

import numpy as np
import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, apply_window, parse_window


def test_the_default_is_hu_over_8_plus_125_clipped_and_rounded_halves_up() -> None:
    hu = np.array([[-2000, -1000, -996, -995, -8, 0, 4, 8, 1040, 3000]], np.int16)
    gray = apply_window(hu, *DEFAULT_WINDOW)
    assert gray.dtype == np.uint8
    assert gray.tolist() == [[0, 0, 1, 1, 124, 125, 126, 126, 255, 255]]


def test_every_hu_of_a_12_bit_slice_follows_the_formula() -> None:
    hu = np.arange(-1024, 3072, dtype=np.int16)
    wanted = np.floor(np.clip((hu + 600.0 + 750) / 1500, 0, 1) * 255 + 0.5)
    assert np.array_equal(apply_window(hu, -600, 1500), wanted)


@pytest.mark.parametrize(
    "text, window",
    [
        ("20,2040", (20, 2040)),
        ("-600, 1500", (-600, 1500)),
        ("lung", (-600, 1500)),
        ("header", None),
    ],
)
def test_a_window_is_read_from_the_command_line(text: str, window: object) -> None:
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text",
    ["", "20", "20,0.5", "20,-5", "20,2e6", "a,b", "1,2,3", "nan,5", "0,inf", "bone", "50000,400"],
)
def test_a_wrong_window_is_refused(text: str) -> None:
    with pytest.raises(LidcError, match="centre,width in HU"):
        parse_window(text)
