"""The export command says at once what it does, and whether the scores are of what it exports."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lungdx_paddle.commands.export_model import main
from lungdx_paddle.figures import canvas, mistake_crops
from lungdx_paddle.inference import export
from lungdx_paddle.training import run


@pytest.mark.parametrize(
    ("step", "finished", "note"),
    [
        (20, True, ""),
        (10, False, "run is not finished: step 10 of 20\n"),
        (20, False, "run: the scores in it are of other weights, settings or crops\n"),
    ],
)
def test_it_says_what_the_scores_beside_the_weights_are_worth(
    step: int,
    finished: bool,
    note: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = SimpleNamespace(train=SimpleNamespace(steps=20))
    trained = SimpleNamespace(step=step, is_finished=finished, config=config)
    monkeypatch.setattr(run, "load_run", lambda folder: trained)
    monkeypatch.setattr(
        export, "export", lambda run, out, *more: [out / "inference.yml", out / "a.png"]
    )
    main(["--run", "run", "--out", str(tmp_path)])
    screen = capsys.readouterr()
    assert screen.out.startswith("exporting run\n") and "inference.yml" in screen.out
    assert screen.err == note


def test_without_matplotlib_a_model_is_exported_and_its_card_has_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = SimpleNamespace(
        step=1, is_finished=True, config=SimpleNamespace(train=SimpleNamespace(steps=1))
    )
    given: list[object] = []
    monkeypatch.setattr(run, "load_run", lambda folder: trained)
    monkeypatch.setattr(export, "export", lambda *words: given.extend(words) or [])
    monkeypatch.setitem(sys.modules, "lungdx_paddle.figures.mistake_crops", None)
    main(["--run", "run", "--out", str(tmp_path), "--safetensors"])
    assert given[2:] == [False, True, None]
    assert "the model card has no pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("public", "words", "drawn"),
    [(True, [], True), (False, [], False), (False, ["--pictures"], True)],
)
def test_patients_of_a_collection_that_is_not_public_are_drawn_by_an_option_only(
    public: bool, words: list[str], drawn: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = SimpleNamespace(
        step=1, is_finished=True, config=SimpleNamespace(train=SimpleNamespace(steps=1))
    )
    given: list[Any] = []
    pictures: list[bool] = []
    monkeypatch.setattr(run, "load_run", lambda folder: trained)
    monkeypatch.setattr(export, "export", lambda *args: given.extend(args) or [])
    monkeypatch.setattr(canvas, "save_figure", lambda figure, path: pictures.append(figure))
    monkeypatch.setattr(mistake_crops, "draw_mistakes", lambda worst, task, named: named)
    main(["--run", "run", "--out", str(tmp_path), *words])
    assert given[-1](None, "malignancy", public, tmp_path / "mistakes.png") == drawn
    assert pictures == [public] * drawn
