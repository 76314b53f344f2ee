"""A figure is saved and rendered without a warning, whatever a path is called."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from lungdx_paddle.errors import OutputError
from lungdx_paddle.figures.canvas import pixels, save_figure


@pytest.fixture
def figure() -> Figure:
    made = Figure(figsize=(4, 3))
    made.suptitle("runs/目录/$x$_{1/seed0, 5 ü\nsecond line")
    axes = made.subplots()
    axes.plot([1, 10], [1, 1000])
    axes.set_yscale("log")
    return made


def test_letters_that_the_font_does_not_have_are_question_marks(
    figure: Figure, tmp_path: Path
) -> None:
    # Warnings are errors in these tests: matplotlib would warn of a missing glyph.
    assert save_figure(figure, tmp_path / "目录.png") == tmp_path / "目录.png"
    assert (tmp_path / "目录.png").read_bytes()[:4] == b"\x89PNG"
    assert figure.get_suptitle() == "runs/??/$x$_{1/seed0, 5 ü\nsecond line"


def test_a_name_that_ends_in_jpg_gives_a_jpg(figure: Figure, tmp_path: Path) -> None:
    assert save_figure(figure, tmp_path / "a.jpg", 50).read_bytes()[:2] == b"\xff\xd8"


def test_a_folder_that_is_not_there_is_one_clear_error(figure: Figure, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="expected a place that can be written to"):
        save_figure(figure, tmp_path / "none" / "a.png")


def test_pixels_are_what_is_drawn(figure: Figure) -> None:
    image = pixels(figure)
    assert image.shape == (300, 400, 3) and image.dtype == "uint8"
    assert image.max() == 255 and image.min() < 100
