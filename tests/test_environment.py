"""The environment of a result is complete, comes back as written, and names no person or path."""

from __future__ import annotations

import getpass
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

import lungdx_paddle
from lungdx_paddle import environment
from lungdx_paddle.environment import Environment
from lungdx_paddle.errors import CheckpointError


def test_every_entry_of_a_cpu_run_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGDX_THREADS", "2")
    found = Environment.current("cpu")
    assert (found.device, found.threads, found.numpy) == ("cpu", 2, np.__version__)
    assert found.cores >= 1 and found.memory_gb > 0.1
    assert found.processor != ""
    assert found.lungdx_paddle == lungdx_paddle.__version__
    assert found.date.endswith("+00:00")
    assert getpass.getuser() == "root" or getpass.getuser() not in str(found)
    assert str(Path.home()) not in str(found)


def test_the_papers_table_1_stands_beside_it() -> None:
    rows = {name: (paper, ours) for name, paper, ours in Environment.current().rows()}
    assert rows["device"] == ("NVIDIA Tesla V100, CUDA 11", "cpu")
    assert rows["paddle"][0] == "1.8" and rows["numpy"] == ("-", np.__version__)
    written = [*asdict(Environment.current())]
    written[written.index("memory_gb")] = "memory (GB)"
    assert list(rows) == written


def test_it_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = Environment.current()
    written.write(tmp_path / "environment.json")
    assert Environment.read(tmp_path / "environment.json") == written


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"cores": 2}'])
def test_something_else_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "environment.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"environment.json: expected the environment of"):
        Environment.read(path)
    with pytest.raises(CheckpointError, match="found No such file"):
        Environment.read(tmp_path / "gone.json")


def test_the_commit_is_that_of_the_package_and_marks_uncommitted_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lungdx_paddle"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(environment.lungdx_paddle, "__file__", str(package / "__init__.py"))
    assert Environment.current().commit == ""  # installed, not in a checkout

    def git(*words: str) -> str:
        who = ["-c", "user.name=n", "-c", "user.email=e"]
        ran = subprocess.run(["git", "-C", str(tmp_path), *who, *words], capture_output=True)
        return ran.stdout.decode().strip()

    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    git("tag", "-a", "v1", "-m", "v1")
    head = git("rev-parse", "--short=12", "HEAD")
    assert Environment.current().commit == head != ""
    (package / "__init__.py").write_text("changed = True\n")
    assert Environment.current().commit == f"{head}+"


def test_it_is_a_value() -> None:
    found = Environment.current()
    assert replace(found, cores=99) != found
