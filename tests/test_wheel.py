"""A wheel and an sdist hold what works outside a checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel and an sdist, built from a copy of the checkout."""
    setuptools = pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("wheel")
    leave = shutil.ignore_patterns(".*", "output", "build", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, folder / "clone", ignore=leave)
    code = (
        "from setuptools import build_meta\n"
        f"build_meta.build_wheel({str(folder)!r})\nbuild_meta.build_sdist({str(folder)!r})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder / "clone",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, f"setuptools {setuptools.__version__}: {ran.stderr}"
    return folder


@pytest.fixture(scope="module")
def installed(built: Path) -> Path:
    """A folder that holds the package as the wheel installs it, away from the checkout."""
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(built / "site")
    return built / "site"


def test_the_wheel_holds_the_package_its_configs_and_the_command(installed: Path) -> None:
    package = ROOT / "lungdx_paddle"
    sources = [p for p in package.rglob("*") if p.is_file() and p.suffix != ".pyc"]
    wanted = {f"lungdx_paddle/{path.relative_to(package).as_posix()}" for path in sources}
    wanted |= {f"lungdx_paddle/configs/{path.name}" for path in (ROOT / "configs").iterdir()}
    files = {p.relative_to(installed).as_posix() for p in installed.rglob("*") if p.is_file()}
    assert {file for file in files if "dist-info" not in file} == wanted
    (entry_points,) = installed.glob("*.dist-info/entry_points.txt")
    assert "lungdx = lungdx_paddle.__main__:main" in entry_points.read_text()


def test_the_sdist_can_be_built_and_tested_like_a_clone(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"configs/best.yaml", "tools/train.py", "tests/conftest.py", "setup.py"} <= names


def lungdx(*words: str, installed: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lungdx_paddle", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_installed_package_makes_crops_of_a_phantom(installed: Path, tmp_path: Path) -> None:
    for words in (
        "phantom --out scans --patients 1 --jobs 1",
        "preprocess --lidc scans --out crops --jobs 1",
    ):
        ran = lungdx(*words.split(), installed=installed, folder=tmp_path)
        assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "crops" / "manifest.csv").is_file()


@pytest.mark.parametrize("name", ["best", "best.yaml", "configs/best.yaml"])
def test_the_installed_configs_are_found_by_name(
    name: str, installed: Path, tmp_path: Path
) -> None:
    # A key that is refused after the file and its _base_ have been read.
    ran = lungdx("train", "-c", name, "-o", "train.step=1", installed=installed, folder=tmp_path)
    assert ran.returncode == 2
    assert "the nearest is 'train.steps'" in ran.stderr
    ran = lungdx("train", "-c", "no-such", installed=installed, folder=tmp_path)
    assert "no-such: expected a YAML file" in ran.stderr and "one of best, hard" in ran.stderr
