"""Each runtime that can read a model gives the same answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest

from lungdx_paddle.data.dataset import load_dataset
from lungdx_paddle.errors import CheckpointError, InstallError
from lungdx_paddle.evaluation.predictions import predict
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.settings import Config
from lungdx_paddle.training.run import load_run

AGREEMENT = 1e-5
"""The exported program and the network differ by the order of float32 sums only."""


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


def test_a_prediction_by_onnx_runtime_leaves_nothing_in_the_home_folder(
    onnx: Path, tmp_path: Path
) -> None:
    """From 1.30 on it has telemetry: a store below the home folder."""
    crops = "numpy.zeros((3, 32, 32), numpy.uint8)"
    code = (
        "import sys, numpy; from pathlib import Path\n"
        "from lungdx_paddle.inference.predictor import Predictor\n"
        "predictor = Predictor(Path(sys.argv[1])); assert predictor.runtime == 'ONNX Runtime'\n"
        f"assert len(predictor.probabilities({crops})['malignancy']) == 3\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    hidden = {name: os.environ[name] for name in os.environ if name != "ORT_DISABLE_TELEMETRY"}
    places = dict.fromkeys(("HOME", "USERPROFILE", "XDG_CACHE_HOME", "APPDATA"), str(home))
    run = [sys.executable, "-c", code, str(onnx)]
    subprocess.run(run, env={**hidden, **places}, check=True)
    assert not list(home.rglob("*"))


def test_without_onnxruntime_paddle_reads_the_model(
    onnx: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    predictor = Predictor(onnx)
    assert predictor.runtime in ("OpenVINO", "oneDNN") and predictor.notes == []


@pytest.mark.parametrize("code", ["raise ImportError('DLL load failed')", "1 / 0", "", "def ("])
def test_where_onnxruntime_is_broken_paddle_answers_with_a_note(
    onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    (tmp_path / "onnxruntime.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    predictor = Predictor(onnx)
    assert predictor.runtime in ("OpenVINO", "oneDNN")
    (note,) = predictor.notes
    assert note.startswith("ONNX Runtime cannot be imported (") and "force-reinstall" in note
    monkeypatch.setitem(sys.modules, "paddle", None)
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    with pytest.raises(InstallError, match="Paddle is not there either, found .*pip uninstall"):
        Predictor(onnx)


def test_a_damaged_onnx_file_says_what_to_do(onnx: Path, tmp_path: Path) -> None:
    damaged = shutil.copytree(onnx, tmp_path / "damaged")
    (damaged / "inference.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"inference\.onnx: .*run tools/export.py again"):
        Predictor(damaged)
    description = (damaged / "inference.yml").read_text(encoding="utf-8")
    old = description.partition("sha256:")[0]  # of a version that wrote no digests
    (damaged / "inference.yml").write_text(old, encoding="utf-8")
    with pytest.raises(CheckpointError, match="can be read, found .*tools/export.py --onnx"):
        Predictor(damaged)
