"""A model file answers as the trained network does, and tells what it needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import paddle
import pytest
import yaml

from lungdx_paddle.config import load_config
from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.errors import CheckpointError, InstallError, ManifestError
from lungdx_paddle.evaluation.predictions import predict
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference import sessions
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.findings import findings_from_crops, findings_from_manifest
from lungdx_paddle.inference.onnx import require_paddle2onnx
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.settings import Config
from lungdx_paddle.training.crossval import train_any
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train

AGREEMENT = 1e-5
"""The exported program and the network differ by the order of float32 sums only."""


@pytest.fixture(scope="module")
def world(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with crops, a run on them and, in it, its model."""
    folder = tmp_path_factory.mktemp("world")
    own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
    (folder / "run").mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    export(load_run(folder / "run"), writable_folder(folder / "run" / "inference"))
    return folder


@pytest.fixture
def run(world: Path, tmp_path: Path) -> Path:
    """A copy of the run, and of its crops, that a test may change."""
    shutil.copytree(world, tmp_path / "world")
    config = tmp_path / "world" / "run" / "config.yaml"
    config.write_text(config.read_text().replace(str(world), str(tmp_path / "world")))
    return config.parent


@pytest.fixture
def model(run: Path) -> Path:
    return run / "inference"


@pytest.fixture(scope="module", params=[0, 2], ids=["network", "ensemble"])
def either(
    write_crops_into: Callable[..., Path],
    configs: Path,
    tmp_path_factory: pytest.TempPathFactory,
    request: pytest.FixtureRequest,
) -> Config:
    """A run that has trained one network, or an ensemble of folds."""
    folder = tmp_path_factory.mktemp("either")
    own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
    folds = [f"data.folds={request.param}", "data.split=patient"]
    config = load_config(configs / "testing.yaml", [*own, *folds])
    train_any(config, JobOptions(jobs=1, device="cpu"))
    return config


def test_the_model_file_agrees_with_what_was_trained(either: Config, tmp_path: Path) -> None:
    config = either
    export(load_run(config.output_folder), writable_folder(tmp_path / "inference"))
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


def test_a_run_is_exported_without_its_crops(run: Path, tmp_path: Path) -> None:
    manifest = Path(load_run(run).config.data.manifest)
    shutil.rmtree(manifest.parent)
    moved = tmp_path / "elsewhere"
    shutil.move(run, moved)
    export(load_run(moved), writable_folder(tmp_path / "model"))
    assert Predictor(tmp_path / "model").window == (20.0, 2040.0)


def test_paddle_itself_reads_the_weights_beside_the_model(run: Path, model: Path) -> None:
    read = paddle.load(str(model / "weights.pdparams"))
    for name, value in load_run(run).network().state_dict().items():
        assert np.array_equal(value.numpy(), read[name].numpy()), name


def test_a_predictor_leaves_nothing_in_the_working_directory(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(writable_folder(tmp_path / "here"))
    Predictor(model).probabilities(np.zeros((3, 32, 32), np.uint8))
    assert list(Path().iterdir()) == []


def test_the_answers_are_probabilities(model: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32), np.uint8)
    for found in Predictor(model).probabilities(images).values():
        assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1.0, atol=1e-5)


def test_the_files_are_those_of_this_paddle(run: Path, model: Path) -> None:
    files = {"inference.pdmodel", "inference.pdiparams", "inference.yml"}
    if int(paddle.__version__[0]) >= 3:
        files.add("inference.json")
    assert files <= {path.name for path in model.iterdir()}
    (model / "inference.json").write_text("of another Paddle", encoding="utf-8")
    (model / "inference.onnx").touch()
    export(load_run(run), model)  # what another export left must not stay beside it
    assert not (model / "inference.onnx").exists()
    assert ("inference.json" in files) == (model / "inference.json").exists()


@pytest.mark.parametrize("ending", ["json", "pdmodel"])
def test_either_program_gives_the_same_answers(model: Path, tmp_path: Path, ending: str) -> None:
    if not (model / f"inference.{ending}").is_file():
        pytest.skip(f"Paddle {paddle.__version__} writes no .{ending}")
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in (f"inference.{ending}", "inference.pdiparams", "inference.yml"):
        shutil.copy(model / name, alone)
    images = np.random.default_rng(1).integers(0, 256, (7, 32, 32), np.uint8)
    expected = Predictor(model).probabilities(images)
    for task, found in Predictor(alone).probabilities(images).items():
        assert np.abs(found - expected[task]).max() < AGREEMENT


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


def test_findings_are_one_json_line_a_crop_in_order(run: Path, model: Path) -> None:
    config = load_config(run / "config.yaml")
    manifest = read_manifest(config.data.manifest)
    paths = [str(path) for path in manifest.image_paths()[:3]]
    predictor = Predictor(model)
    lines = [finding.to_dict() for finding in findings_from_crops(predictor, paths)]
    assert [line["image"] for line in lines] == paths
    for line in lines:
        assert len(line["malignancy"]["probabilities"]) == 5
        best = int(np.argmax(line["malignancy"]["probabilities"]))
        assert line["malignancy"]["level"] == best + 1
        assert len(line["pathology"]["probabilities"]) == 6
        assert isinstance(line["pathology"]["class"], str)
    of_all = list(findings_from_manifest(predictor, Path(config.data.manifest)))
    assert [finding.about["image"] for finding in of_all] == [row.image for row in manifest.rows]
    assert of_all[1].to_dict()["malignancy"] == lines[1]["malignancy"]
    assert json.loads(json.dumps(lines)) == lines


def test_a_manifest_with_another_window_is_told_so(run: Path, model: Path) -> None:
    path = Path(load_config(run / "config.yaml").data.manifest)
    rows = read_manifest(path).rows
    write_manifest(path, [replace(row, window_center=-600.0, window_width=1500.0) for row in rows])
    with pytest.raises(ManifestError, match="window 20/2040 HU, found -600/1500; preprocess with"):
        next(findings_from_manifest(Predictor(model), path))


def test_a_manifest_by_another_crop_rule_is_told_so(run: Path, model: Path) -> None:
    path = Path(load_run(run).config.data.manifest)
    write_manifest(path, [replace(row, crop="context") for row in read_manifest(path).rows])
    with pytest.raises(ManifestError, match="rule paper, found .*context"):
        next(findings_from_manifest(Predictor(model), path))


def test_an_array_of_another_shape_is_refused(model: Path) -> None:
    with pytest.raises(ManifestError, match=r"array of \(n, 32, 32\), found \(1, 1, 32, 32\)"):
        Predictor(model).probabilities(np.zeros((1, 1, 32, 32), np.uint8))


def test_no_image_gives_no_row(model: Path) -> None:
    answer = Predictor(model).probabilities(np.zeros((0, 32, 32), np.uint8))
    assert {task: p.shape for task, p in answer.items()} == {
        "malignancy": (0, 5),
        "pathology": (0, 6),
    }


@pytest.mark.parametrize("count", [1, 3, 513])
def test_each_image_of_a_batch_is_answered_as_if_alone(model: Path, count: int) -> None:
    images = np.random.default_rng(count).integers(0, 256, (count, 32, 32), np.uint8)
    predictor = Predictor(model)
    together = predictor.probabilities(images)
    for row in (0, count // 2, count - 1):
        alone = predictor.probabilities(images[row : row + 1])
        for task, found in together.items():
            assert found.shape == (count, len(predictor.tasks[task]))
            assert np.abs(found[row] - alone[task][0]).max() < AGREEMENT


@pytest.fixture(scope="module")
def onnx(either: Config) -> Path:
    """The model of a run with its ONNX file."""
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    try:
        require_paddle2onnx()
    except InstallError as error:
        pytest.skip(str(error))
    folder = writable_folder(either.output_folder.parent / "onnx")
    export(load_run(either.output_folder), folder, onnx=True)
    return folder


def test_the_onnx_file_gives_the_same_probabilities(either: Config, onnx: Path) -> None:
    network = load_run(either.output_folder).network()
    dataset = load_dataset(either.data)
    predictor = Predictor(onnx)
    assert predictor.runtime == "ONNX Runtime"
    answers = predictor.probabilities(dataset.images)
    for task, expected in predict(network, dataset).probabilities.items():
        assert np.abs(answers[task] - expected).max() < AGREEMENT


def test_an_onnx_file_is_read_without_paddle(onnx: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "sys.modules['paddle'] = None\n"
        "from pathlib import Path\n"
        "from lungdx_paddle.inference.predictor import Predictor\n"
        f"found = Predictor(Path({str(onnx)!r})).probabilities(np.zeros((1, 32, 32), np.uint8))\n"
        "print(sorted(found))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.strip() == "['malignancy', 'pathology']", ran.stderr


def test_without_onnxruntime_paddle_reads_the_model(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "find_spec", lambda name: None)
    assert Predictor(onnx).runtime in ("OpenVINO", "oneDNN")


def test_a_damaged_onnx_file_says_what_to_do(onnx: Path, tmp_path: Path) -> None:
    shutil.copytree(onnx, tmp_path / "damaged")
    (tmp_path / "damaged" / "inference.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="can be read, found .*tools/export.py --onnx"):
        Predictor(tmp_path / "damaged")


def test_without_paddle2onnx_nothing_is_written_and_one_line_says_what_to_install(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(InstallError, match="found .*paddle2onnx.*; pip install paddle2onnx"):
        export(load_run(run), out, onnx=True)
    assert not list(out.iterdir())


def test_a_folder_that_is_no_run_or_no_model_says_what_to_do(tmp_path: Path, model: Path) -> None:
    with pytest.raises(CheckpointError, match="found no config.yaml in it; train first"):
        load_run(tmp_path)
    with pytest.raises(CheckpointError, match="no such folder"):
        load_run(tmp_path / "gone")
    with pytest.raises(CheckpointError, match="run tools/export.py --run"):
        Predictor(tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copy(model / "inference.yml", bare)
    with pytest.raises(CheckpointError, match="run tools/export.py again"):
        Predictor(bare)
    (bare / "inference.yml").write_text("just text", encoding="utf-8")
    with pytest.raises(CheckpointError, match="a file without outputs"):
        Predictor(bare)


def test_a_description_of_another_model_is_noticed(model: Path) -> None:
    path = model / "inference.yml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    black = np.zeros((1, 32, 32), np.uint8)
    for classes in (["a", "b"], list("abcdefgh")):
        written["outputs"][1]["classes"] = classes
        path.write_text(yaml.safe_dump(written), encoding="utf-8")
        with pytest.raises(CheckpointError, match=r"found \[5, 6\]; these files are not of one"):
            Predictor(model).probabilities(black)
    for outputs in (3, [{"task": "malignancy"}], []):
        path.write_text(yaml.safe_dump({**written, "outputs": outputs}), encoding="utf-8")
        with pytest.raises(CheckpointError, match="found a file without outputs"):
            Predictor(model)


def test_a_window_about_water_is_one_like_others(model: Path) -> None:
    path = model / "inference.yml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    written["input"]["window"].update(center=0.0, width=400.0)
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    assert Predictor(model).window == (0.0, 400.0)
