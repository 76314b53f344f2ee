"""A run and its model, made once, which each test copies; the same as ONNX, and of an ensemble."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder
from lungdx_paddle.inference.export import export
from lungdx_paddle.inference.onnx import require_paddle2onnx
from lungdx_paddle.settings import Config
from lungdx_paddle.training.crossval import train_any
from lungdx_paddle.training.parallel.jobs import JobOptions
from lungdx_paddle.training.run import load_run
from lungdx_paddle.training.trainer import train


@pytest.fixture(scope="session")
def world(
    write_crops_into: Callable[..., Path], configs: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with crops, a run on them and, in it, its model."""
    folder = tmp_path_factory.mktemp("world")
    own = [f"output={folder / 'run'}", f"data.manifest={write_crops_into(folder / 'crops')}"]
    (folder / "run").mkdir()
    train(load_config(configs / "testing.yaml", own), "cpu")
    out = writable_folder(folder / "run" / "inference")
    export(load_run(folder / "run"), out, safetensors=True)
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


@pytest.fixture(scope="session", params=[0, 2], ids=["network", "ensemble"])
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


@pytest.fixture(scope="session")
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
