"""A predictor answers any number of crops, and refuses files that are not its own."""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from lungdx_paddle.errors import CheckpointError, ManifestError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.inference.sessions import Session
from lungdx_paddle.training.run import load_run

AGREEMENT = 1e-5
"""The exported program and the network differ by the order of float32 sums only."""


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
    with pytest.raises(CheckpointError, match="found no keys and values"):
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


def test_answers_that_are_no_probabilities_are_refused(model: Path) -> None:
    predictor = Predictor(model)
    right = [np.full((1, len(classes)), 1 / len(classes)) for classes in predictor.tasks.values()]
    for wrong in (np.nan, np.inf, -1.0, 2.0):
        broken = [right[0], right[1].copy()]
        broken[1][0, 3] = wrong
        predictor._session = Session("made up", lambda batch, answer=broken: answer, 64)
        with pytest.raises(CheckpointError, match="expected a model whose answers are probab"):
            predictor.probabilities(np.zeros((1, 32, 32), np.uint8))
    predictor._session = Session("made up", lambda batch: right, 64)
    assert predictor.probabilities(np.zeros((1, 32, 32), np.uint8))


def test_a_window_about_water_is_one_like_others(model: Path) -> None:
    path = model / "inference.yml"
    written = yaml.safe_load(path.read_text(encoding="utf-8"))
    written["input"]["window"].update(center=0.0, width=400.0)
    path.write_text(yaml.safe_dump(written), encoding="utf-8")
    assert Predictor(model).window == (0.0, 400.0)


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("runtime", ["ONNX Runtime", "OpenVINO", "oneDNN"])
def test_threads_get_their_own_answers(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, runtime: str, at_once: int
) -> None:
    """With every runtime, 200 requests of 8 threads are answered as they are one by one."""
    if runtime != "ONNX Runtime":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    if runtime == "oneDNN":
        monkeypatch.delattr("paddle.inference.Config.enable_openvino_engine", raising=False)
    predictor = Predictor(onnx, at_once)
    if predictor.runtime != runtime:
        pytest.skip(f"no {runtime} here, but {predictor.runtime}")
    random = np.random.default_rng(0)
    batches = [random.integers(0, 256, (1 + k % 8, 32, 32), np.uint8) for k in range(200)]

    def ask(images: np.ndarray) -> np.ndarray:
        return np.concatenate(list(predictor.probabilities(images).values()), axis=1)

    alone = [ask(images) for images in batches]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(ask, batches))
    wrong = sum(not np.array_equal(one, other) for one, other in zip(alone, together))
    assert wrong == 0


@pytest.mark.parametrize("runtime", ["onnxruntime", "paddle"])
def test_many_crops_at_once_have_the_answers_of_one_thread(
    onnx: Path, monkeypatch: pytest.MonkeyPatch, runtime: str
) -> None:
    if runtime == "paddle":
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
    images = np.random.default_rng(2).integers(0, 256, (700, 32, 32), np.uint8)
    expected = Predictor(onnx).probabilities(images)
    for task, found in Predictor(onnx, at_once=3).probabilities(images).items():
        assert np.array_equal(found, expected[task])
