"""Tables that hold whatever a name holds, and no number of too few patients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.intervals import Estimate
from lungdx_paddle.evaluation.mistakes import worst_mistakes
from lungdx_paddle.inference.card_tables import calibration, mistakes, shown, table
from lungdx_paddle.training.held_out import scored_predictions
from lungdx_paddle.training.run import load_run


def test_a_bar_or_a_line_break_does_not_end_a_cell() -> None:
    assert table(["a|b", "c"], [["1\n2", "3"]]) == "| a\\|b | c |\n| --- | --- |\n| 1\\n2 | 3 |"


def test_a_number_stands_with_its_interval_or_with_the_reason_why_not() -> None:
    assert shown(Estimate(0.5, (0.25, 0.75), 9)) == "0.500 (0.250 to 0.750)"
    assert shown(Estimate(0.5, (0.25, 0.75), 5)) == "too few: 5 patients"
    assert shown(Estimate(None, None, 9, "no label")) == shown(None) == "-"


def test_a_reliability_that_rests_on_too_few_patients_is_not_shown(run: Path) -> None:
    metrics = load_run(run).metrics
    own = metrics.test.nodule[MALIGNANCY]
    few = replace(own, ece=replace(own.ece, patients=2)) if own.ece else own
    changed = replace(metrics, test=replace(metrics.test, nodule={MALIGNANCY: few}))
    text = calibration(changed, {MALIGNANCY: "12345"})
    assert "Malignancy: too few: 2 patients." in text and "mean probability" not in text


def test_patients_of_no_public_collection_are_not_named(run: Path) -> None:
    worst = worst_mistakes(scored_predictions(load_run(run)), MALIGNANCY)
    assert worst.rows[0].patient_id in mistakes(worst, MALIGNANCY, named=True)
    unnamed = mistakes(worst, MALIGNANCY, named=False)
    assert not [row.patient_id for row in worst.rows if row.patient_id in unnamed]
    assert "patient" not in unnamed
