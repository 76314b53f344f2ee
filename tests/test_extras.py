"""A package that is missing or broken is named in one line, with what mends it."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from lungdx_paddle.errors import InstallError
from lungdx_paddle.extras import failed_import

BROKEN = {
    "raise ImportError('libGL.so.1: cannot open shared object file')": "ImportError: libGL.so.1",
    "raise AttributeError('module numpy has no attribute bool8')": "AttributeError: module numpy",
    "def (": "SyntaxError",
    "from made_up import gone": "ImportError: cannot import name 'gone'",
    "import made_up.gone": "No module named 'made_up.gone'",
}


def raised_by(module: str) -> Exception:
    """What the import of a module raises."""
    try:
        exec(f"import {module}")  # a statement, as in our modules
    except Exception as error:
        return error
    raise AssertionError(module)


@pytest.mark.parametrize("code", BROKEN)
def test_a_broken_package_is_named_and_reinstalled(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "made_up").mkdir()
    (tmp_path / "made_up" / "__init__.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    failed = failed_import(raised_by("made_up"))
    assert isinstance(failed, InstallError)
    assert str(failed).startswith("made_up: expected an installation that can be imported, found")
    assert BROKEN[code] in str(failed)
    assert str(failed).endswith("; pip install --force-reinstall made_up")


def test_what_a_package_lacks_is_named_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "needs.py").write_text("import not_there_at_all", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    text = str(failed_import(raised_by("needs")))
    assert text.startswith("not_there_at_all: expected it to be installed")
    assert text.endswith("; pip install not_there_at_all")


def test_the_package_is_called_as_pip_calls_it() -> None:
    error = raised_by("cv2.not_there")
    assert "pip install --force-reinstall opencv-python" in str(failed_import(error))


def test_our_own_mistakes_are_no_broken_package() -> None:
    assert failed_import(raised_by("lungdx_paddle.not_there")) is None
    try:
        importlib.import_module("lungdx_paddle.words").not_there  # noqa: B018
    except AttributeError as error:
        assert failed_import(error) is None
