"""The card beside a model has the numbers of its run, and says what it does not know."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungdx_paddle.data.labels import MALIGNANCY
from lungdx_paddle.evaluation.task_scores import Answers
from lungdx_paddle.inference import model_card
from lungdx_paddle.inference.card_tables import shown
from lungdx_paddle.inference.export import describe
from lungdx_paddle.inference.model_card import CARD, Evidence
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.settings import Config
from lungdx_paddle.training.held_out import scored_predictions
from lungdx_paddle.training.run import load_run

DOCS = Path(__file__).parents[2] / "docs" / "lab"


def parts(text: str) -> dict[str, str]:
    """{heading: what stands below it}; the YAML at the top is that of an empty heading."""
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    _, *sections = re.split(r"^## ", body, flags=re.MULTILINE)
    return {"": front, **{s.partition("\n")[0]: s.partition("\n")[2] for s in sections}}


def card_of(folder: Path) -> dict[str, str]:
    """The parts of a run's card, without pictures."""
    run = load_run(folder)
    return parts(model_card.model_card(run, describe(run), Evidence.of(run), {}))


@pytest.fixture(scope="module")
def card(calibrated: Config) -> dict[str, str]:
    """The card of a calibrated cross-validation."""
    return card_of(calibrated.output_folder)


def test_the_card_has_the_scores_of_the_run_with_intervals(
    card: dict[str, str], calibrated: Config
) -> None:
    metrics = load_run(calibrated.output_folder).metrics
    own = metrics.test.nodule[MALIGNANCY]
    for score in (own.accuracy, own.quadratic_kappa, own.mae, own.auc):
        assert f"| {shown(score)} |" in card["Results (PHANTOM)"]
    assert metrics.uncalibrated is not None
    for ece in (metrics.uncalibrated.nodule[MALIGNANCY].ece, own.ece):
        assert shown(ece) in card["Calibration (PHANTOM)"]
    assert "10 nodules" not in card["Subgroups (PHANTOM)"]
    assert "diameter in mm" in card["Subgroups (PHANTOM)"]
    assert "mean of 3 networks" in card["From scan to answer"]
    assert "calibrated by temperatures: malignancy" in card["From scan to answer"]
    assert "the expected one, cut at" in card["From scan to answer"]
    assert "no patient is on both sides" in card["Results (PHANTOM)"]
    assert "No external validation" in card["Warnings"]
    assert "age, sex" in card["Training data (PHANTOM)"]


def test_programs_read_the_top_of_the_card(card: dict[str, str], calibrated: Config) -> None:
    run = load_run(calibrated.output_folder)
    front: dict[str, Any] = yaml.safe_load(card[""])
    assert front["library_name"] == "lungdx_paddle" and front["license"] == "unknown"
    assert "phantom" in front["tags"] and front["datasets"] == ["phantom"]
    assert front["weights"] == run.digests.weights
    first = front["model-index"][0]["results"][0]["metrics"][0]
    accuracy = run.metrics.test.nodule[MALIGNANCY].accuracy
    assert accuracy.value is not None and accuracy.interval is not None
    assert first["type"] == "accuracy" and first["value"] == round(accuracy.value, 4)
    assert first["args"]["interval"] == [round(end, 4) for end in accuracy.interval]


def test_a_model_of_a_phantom_is_called_so_where_numbers_stand(card: dict[str, str]) -> None:
    numbers = [name for name, text in card.items() if name and re.search(r"\d\.\d{3} ", text)]
    assert numbers and all(name.endswith("(PHANTOM)") for name in numbers)
    assert "LIDC" not in "".join(text for name, text in card.items() if name != "Warnings")


def test_what_is_shown_as_wrong_was_scored_as_wrong(calibrated: Config) -> None:
    run = load_run(calibrated.output_folder)
    counts = Answers.of(MALIGNANCY, scored_predictions(run).pooled("nodule")).counts.sum(axis=0)
    confusion = run.metrics.test.nodule[MALIGNANCY].confusion
    assert tuple(map(tuple, counts.tolist())) == confusion


def test_one_network_is_not_calibrated_and_the_card_says_why(run: Path) -> None:
    way = card_of(run)["From scan to answer"]
    assert "not calibrated: all that one network holds out" in way
    assert "the level answered is the likeliest." in way


def test_without_the_crops_the_card_says_why_there_are_no_pictures(run: Path) -> None:
    assert "No pictures: they were not drawn" in card_of(run)["Where it fails (PHANTOM)"]
    shutil.rmtree(Path(load_run(run).config.data.manifest).parent)
    fails = card_of(run)["Where it fails (PHANTOM)"]
    assert "No pictures: the crops are not where they were" in fails and "](" not in fails
    assert "| 1 | P0" in fails


def test_crops_that_were_changed_are_not_shown_as_those_that_were_answered(
    run: Path,
) -> None:
    trained = load_run(run)
    held_out = trained.predictions.rows[0].image
    crop = Path(trained.config.data.manifest).parent / held_out
    other = trained.record.rows[trained.record.parts.index("train")].image
    shutil.copy(crop.parents[2] / other, crop)
    assert scored_predictions(trained).images is None


def test_a_training_that_goes_on_is_exported_without_scores(run: Path) -> None:
    (run / "metrics.json").unlink()
    card = card_of(run)
    assert card["Results (PHANTOM)"].startswith("\nNone: the training is at step 20 of 20, or its")
    assert card["Where it fails (PHANTOM)"].strip() == "Not known."
    assert "model-index" not in card[""]


def test_a_card_that_was_edited_does_not_stop_the_model(model: Path) -> None:
    with open(model / CARD, "a", encoding="utf-8") as file:
        file.write("Contact: the hospital's physicist.\n")
    assert Predictor(model).window == (20.0, 2040.0)
    digests = yaml.safe_load((model / "inference.yml").read_text(encoding="utf-8"))["sha256"]
    assert CARD not in digests and "weights.pdparams" in digests


def test_clicks_stand_in_the_card_of_the_very_model_that_they_were_measured_with(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "clicks.json"
    monkeypatch.setattr(model_card, "CLICKS", record)
    trained = load_run(run)
    for weights, expected in (
        (trained.digests.weights, "| 2 | 91 % |"),
        ("of another model", "Not measured for this model"),
    ):
        rows = [{"mm off": 2, "same level": "91 %"}]
        record.write_text(json.dumps({"results": {"weights": weights, "clicks": rows}}))
        assert expected in card_of(run)["Robustness to the click (PHANTOM)"]


def test_the_card_in_the_docs_is_of_the_run_in_the_results(card: dict[str, str]) -> None:
    """And was written by this version: export best.yaml's run again where it is not."""
    docs = parts((DOCS / "best_card.md").read_text(encoding="utf-8"))
    assert list(docs) == [name.removesuffix(" (PHANTOM)") for name in card]
    record = json.loads((DOCS / "numbers" / "best.json").read_text(encoding="utf-8"))
    assert record["data"]["digests"][0] in docs["The model"]
    own = record["results"]["nodule"][MALIGNANCY]
    for name in ("accuracy", "quadratic_kappa", "mae"):
        assert f"| {own[name]['mean']:.3f} (" in docs["Results"]
