"""``lungdx`` and ``python -m lungdx_paddle``."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lungdx_paddle import __main__ as lungdx
from lungdx_paddle import __version__

TOOLS = Path(__file__).parent.parent / "tools"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lungdx_paddle", *words], capture_output=True, text=True, check=False
    )


def test_each_tool_is_a_subcommand_and_has_a_line_in_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {path.stem for path in TOOLS.glob("*.py")} == set(lungdx.COMMANDS)
    monkeypatch.setattr(sys, "argv", ["lungdx", "--help"])
    with pytest.raises(SystemExit, match="0"):
        lungdx.main()
    shown = capsys.readouterr().out
    for name, (module, title) in lungdx.COMMANDS.items():
        assert f"  {name:12}{title}\n" in shown
        assert callable(importlib.import_module(f"lungdx_paddle.commands.{module}").main)


def test_a_subcommand_is_the_tool() -> None:
    ran = run("phantom", "--help")
    assert ran.returncode == 0 and "example:\n  lungdx phantom --out" in ran.stdout
    ran = run("train", "-o", "train.step=5")
    assert ran.returncode == 2
    assert ran.stderr.startswith("lungdx train: ") and "'train.steps'" in ran.stderr


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--version"], 0, f"lungdx {__version__}\n"),
        (["trian"], 2, "lungdx: no command 'trian'; the nearest is 'train'\n"),
        (["reprot", "--help"], 2, "lungdx: no command 'reprot'; the nearest is 'export'\n"),
        (["xyz"], 2, "lungdx: no command 'xyz'; there are train, eval, compare"),
        ([], 2, "usage: lungdx COMMAND ..."),
    ],
)
def test_other_words_end_at_once(
    words: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["lungdx", *words])
    with pytest.raises(SystemExit) as end:
        lungdx.main()
    screen = capsys.readouterr()
    assert end.value.code == code and message in screen.out + screen.err


@pytest.mark.parametrize("package", ["yaml", "pydicom"])
def test_a_package_that_cannot_be_imported_is_named_in_one_line(
    package: str, tmp_path: Path
) -> None:
    (tmp_path / f"{package}.py").write_text("raise ImportError('DLL load failed')")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    for started in ([str(TOOLS / "preprocess.py")], ["-m", "lungdx_paddle", "preprocess"]):
        command = [sys.executable, *started, "--lidc", "ct", "--out", str(tmp_path / "out")]
        environment = {**os.environ, "PYTHONPATH": path}
        ran = subprocess.run(command, capture_output=True, text=True, env=environment)
        assert ran.returncode == 2 and ran.stderr.count("\n") == 1
        assert f"preprocess: {package}: expected an installation that can be" in ran.stderr
        assert "pip install --force-reinstall" in ran.stderr
