"""docs/figures.py draws what its inputs allow."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lungdx_paddle.config import load_config
from lungdx_paddle.phantom import PhantomSettings, write_phantom
from lungdx_paddle.training.trainer import train

FIGURES = Path(__file__).parent.parent.parent / "docs" / "figures.py"
SMALLEST, LARGEST = 5_000, 250_000


def figures(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(FIGURES), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def made(folder: Path) -> set[str]:
    for path in folder.iterdir():
        assert path.read_bytes()[:4] == b"\x89PNG"
        assert SMALLEST < path.stat().st_size < LARGEST, path.name
    return {path.name for path in folder.iterdir()}


def test_all_figures_of_a_phantom_and_a_short_training(
    write_crops: Callable[..., Path], configs: Path, tmp_path: Path
) -> None:
    manifest = write_crops()
    (tmp_path / "run").mkdir()
    own = [f"output={tmp_path / 'run'}", f"data.manifest={manifest}", "data.split=patient"]
    train(load_config(configs / "testing.yaml", own), "cpu")
    small = PhantomSettings(rows=128, slices=8)
    write_phantom(tmp_path / "scans", patients=1, jobs=1, settings=small)
    words = ["--lidc", "scans", "--manifest", str(manifest), "--run", "run", "--out", "there"]
    ran = figures(*words, "--configs", str(configs / "hard.yaml"), folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert made(tmp_path / "there") == {
        *(f"figure{number}.png" for number in (1, 2, 5, 6)),
        "saliency.png",
    }


def test_without_data_there_is_figure_5(tmp_path: Path) -> None:
    ran = figures("--out", "there", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert made(tmp_path / "there") == {"figure5.png"}


@pytest.mark.parametrize("option", ["--lidc", "--manifest", "--run", "--configs"])
def test_what_is_not_there_is_one_clear_line(tmp_path: Path, option: str) -> None:
    ran = figures(option, "nothing", "--out", "there", folder=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1 and "expected" in ran.stderr
