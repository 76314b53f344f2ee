"""What a comparison has found, in words and as a page."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lungdx_paddle.commands.cli import exit_code
from lungdx_paddle.commands.compare_methods import comparison_page, main, outcome, screen_lines
from lungdx_paddle.evaluation.comparison import Comparison, MethodDifference, MethodScore
from lungdx_paddle.evaluation.intervals import Estimate, Interval
from lungdx_paddle.evaluation.measures import MEASURES


def pair(
    interval: Interval, p: float | None, patients: int = 50, why: str = ""
) -> MethodDifference:
    estimate = Estimate(0.01, interval, patients, why)
    return MethodDifference("patient", MEASURES[0], "a", "b", estimate, interval, 0.02, 0.05, p, p)


@pytest.mark.parametrize(
    "found, words",
    [
        (pair((0.03, 0.09), 0.001), "differs"),
        (pair((0.005, 0.015), 0.001), "differs, by less than the margin"),
        (pair((-0.01, 0.015), 0.5), "equivalent within 0.02"),
        (pair((-0.03, 0.05), 0.5), "cannot say: only a difference of 0.050 would have been seen"),
        (pair(None, None, why="one training"), "cannot say: one training"),
        (pair((0, 1), None, 3, "too few: 3 patients"), "cannot say: too few: 3 patients"),
    ],
)
def test_a_pair_differs_is_equivalent_or_neither(found: MethodDifference, words: str) -> None:
    assert outcome(found) == words


def test_screen_and_page_have_every_method_and_pair_of_the_main_measure() -> None:
    estimate = Estimate(0.5, (0.4, 0.6), 50)
    scores = [
        MethodScore("patient", measure, name, estimate, (0.4, 0.6), 0.1, 0.1, None)
        for measure in MEASURES[:2]
        for name in "ab"
    ]
    found = Comparison(tuple(scores), (pair((-0.03, 0.05), 0.5),))
    title, split, a, b, difference = screen_lines(found, "made up")
    assert "(made up)" in title and split == "split by patient, both: accuracy by image:"
    assert a.split(maxsplit=1) == ["a", "0.500 (0.400 to 0.600), 50 patients"]
    assert difference.split(maxsplit=3)[3].startswith("0.010 (-0.030 to 0.050), 50 patients, p (H")
    assert not any("without" in line for line in screen_lines(found, "made up"))
    few = [replace(row, estimate=replace(estimate, patients=3)) for row in scores[2:]]
    told = screen_lines(replace(found, scores=(*scores[:2], *few)), "made up")
    assert told[4] == "  without malignancy: too few: 3 patients"
    page = comparison_page(found, "made up")
    assert page.startswith("# made up\n\n| split | measure | method | mean | 95 % interval |")
    assert "| patient | malignancy: accuracy by image | b | 0.5000 | 0.4000 to 0.6000 |" in page
    assert "| a - b | 0.0100 | -0.0300 to 0.0500 |" in page
    assert page.endswith("*Research use, not a medical device.*\n")


@pytest.mark.parametrize("margin", ["0", "-0.1", "nan", "2"])
def test_a_margin_that_is_none_is_refused(margin: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        exit_code(main, ["--margin", margin])
    assert "expected a number between 0 and 1" in capfd.readouterr().err
