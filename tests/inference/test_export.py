"""An exported model predicts as the trained network does, and describes its input."""

from __future__ import annotations

import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml
from safetensors.numpy import load_file

import lungdx_paddle
from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.errors import InstallError
from lungdx_paddle.evaluation.predictions import Predictions, predict
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference.description import sha256_of
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.findings import findings_from_manifest
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.settings import Config
from lungdx_paddle.training.held_out import evaluate_run
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.run_calibration import calibration_of

AGREEMENT = 1e-5
"""The exported program and the network differ by the order of float32 sums only."""


def draw(worst: Predictions, task: str, public: bool, path: Path) -> bool:
    path.write_text(f"{len(worst)} mistakes of {task}, public: {public}", encoding="utf-8")
    return True


def test_the_model_file_agrees_with_what_was_trained(
    either: Config, tmp_path: Path, disk: Any
) -> None:
    config = either
    export(load_run(config.output_folder), writable_folder(tmp_path / "inference"))
    assert disk.lost(tmp_path / "inference") == set() and disk.too_soon == []  # by a power cut
    network = load_run(config.output_folder).network()
    dataset = load_dataset(config.data)
    trained = predict(network, dataset).probabilities
    exported = Predictor(tmp_path / "inference").probabilities(dataset.images)
    for task, expected in trained.items():
        assert np.abs(expected - exported[task]).max() < AGREEMENT


def test_the_exported_model_predicts_what_the_run_was_scored_with(run: Path, model: Path) -> None:
    """What predict answers equals the run's predictions.csv."""
    trained = load_run(run)
    scored = {row.image: i for i, row in enumerate(trained.predictions.rows)}
    manifest = Path(trained.config.data.manifest)
    for finding in findings_from_manifest(Predictor(model), manifest):
        i = scored.pop(finding.about["image"], None)
        for task, found in (finding.probabilities or {}).items() if i is not None else ():
            expected = trained.predictions.probabilities[task][i]
            assert np.abs(found - expected).max() < AGREEMENT
    assert not scored


def test_a_calibrated_model_predicts_what_eval_says_of_the_same_crops(
    calibrated: Config, tmp_path: Path
) -> None:
    run = load_run(calibrated.output_folder)
    export(run, writable_folder(tmp_path / "model"))
    predictor = Predictor(tmp_path / "model")
    of_all = calibration_of(run)
    assert of_all is not None and predictor.calibration == of_all.shipped
    assert predictor.calibration.cuts and predictor.calibration.folds == 3
    scored = evaluate_run(run, every=True, device="cpu").predictions
    place = {row.image: i for i, row in enumerate(scored.rows)}
    levels = scored.classes["malignancy"] + 1
    likeliest = scored.probabilities["malignancy"].argmax(axis=1) + 1
    assert (levels != likeliest).any()
    agreed = 0
    for finding in findings_from_manifest(predictor, Path(calibrated.data.manifest)):
        i = place.get(finding.about["image"])
        if i is not None:
            for task, found in (finding.probabilities or {}).items():
                assert np.abs(found - scored.probabilities[task][i]).max() < AGREEMENT
            near = np.abs(scored.expected_levels[i] - predictor.calibration.cuts).min() < 1e-4
            assert near or finding.to_dict()["malignancy"]["level"] == levels[i]
            agreed += not near
    assert agreed > 50


def test_a_run_is_exported_without_its_crops(run: Path, tmp_path: Path) -> None:
    manifest = Path(load_run(run).config.data.manifest)
    shutil.rmtree(manifest.parent)
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    out = writable_folder(tmp_path / "model")
    (out / "mistakes_malignancy.png").write_text("of another model", encoding="utf-8")
    export(load_run(moved), out, draw=draw)
    assert Predictor(out).window == (20.0, 2040.0)
    assert not list(out.glob("mistakes*"))
    assert "](mistakes" not in (out / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_paddle_itself_reads_the_weights_beside_the_model(run: Path, model: Path) -> None:
    read = paddle.load(str(model / "weights.pdparams"))
    for name, value in load_run(run).network().state_dict().items():
        assert np.array_equal(value.numpy(), read[name].numpy()), name


def test_safetensors_hold_the_arrays_of_the_paddle_file(run: Path, model: Path) -> None:
    arrays = load_file(model / "weights.safetensors")
    read = paddle.load(str(model / "weights.pdparams"))
    assert set(arrays) == set(read) == set(load_run(run).network().state_dict())
    for name, value in read.items():
        assert arrays[name].dtype == np.float32
        assert np.array_equal(arrays[name], value.numpy()), name
    digests = yaml.safe_load((model / "inference.yml").read_text(encoding="utf-8"))["sha256"]
    assert digests["weights.safetensors"] == sha256_of(model / "weights.safetensors")


def test_the_files_are_those_of_this_paddle(run: Path, model: Path) -> None:
    files = {"inference.pdmodel", "inference.pdiparams", "inference.yml", "MODEL_CARD.md"}
    if int(paddle.__version__[0]) >= 3:
        files.add("inference.json")
    assert files <= {path.name for path in model.iterdir()}
    (model / "inference.json").write_text("of another Paddle", encoding="utf-8")
    (model / "inference.onnx").touch()
    export(load_run(run), model, draw=draw)  # what another left must not stay beside it
    assert not (model / "inference.onnx").exists()
    assert not (model / "weights.safetensors").exists()
    card = (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    for task in ("malignancy", "pathology"):
        picture = model / f"mistakes_{task}.png"
        assert picture.read_text(encoding="utf-8").endswith(f"of {task}, public: True")
        assert f"]({picture.name})" in card
    assert ("inference.json" in files) == (model / "inference.json").exists()


def test_paddles_facts_of_the_variables_are_in_the_order_of_their_names(model: Path) -> None:
    """Paddle 2.6 has them in the order of a set, so that a model had other bytes each time."""
    facts = pickle.loads((model / "inference.pdiparams.info").read_bytes())
    assert len(facts) > 10 and list(facts) == sorted(facts)


def test_an_exported_model_names_no_folder_of_the_machine_that_made_it(
    onnx: Path, model: Path
) -> None:
    package = Path(lungdx_paddle.__file__).parent
    folders = {package, Path.home(), Path(sys.prefix), Path(paddle.__file__).parent, onnx, model}
    words = [b"site-packages", b'File "', *(str(folder).encode() for folder in folders)]
    for path in [*onnx.iterdir(), *model.iterdir()]:
        content = path.read_bytes()
        assert not [word for word in words if word in content], path.name


def test_the_description_says_what_one_must_know(model: Path) -> None:
    description = yaml.safe_load((model / "inference.yml").read_text(encoding="utf-8"))
    assert [output["task"] for output in description["outputs"]] == ["malignancy", "pathology"]
    assert description["outputs"][0]["classes"] == ["1", "2", "3", "4", "5"]
    assert len(description["outputs"][1]["classes"]) == 6
    assert description["input"]["window"] == {"center": 20.0, "width": 2040.0, "unit": "HU"}
    assert description["versions"]["paddle"] == paddle.__version__
    assert description["input"]["crop"] == "paper"
    assert "phantom" in description["training"]["data"]
    assert description["training"]["step"] == 20
    assert description["scores"]["part"] == "test part of the split by image"
    assert "not a medical device" in description["note"]


def test_without_paddle2onnx_nothing_is_written_and_one_line_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    out = tmp_path / "out"
    out.mkdir()
    fix = "pip install paddle2onnx"
    if sys.version_info >= (3, 13):  # for which there is none
        fix = "export with Python 3.10 to 3.12"
    with pytest.raises(InstallError, match=f"found .*paddle2onnx.*; {fix}"):
        export(load_run(run), out, onnx=True)
    assert not list(out.iterdir())
