"""The house: imports go one way, rooms stay small, nothing hides."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "lungdx_paddle"
TOOLS = sorted((PACKAGE.parent / "tools").glob("*.py"))
OTHER_COMMANDS = sorted(
    path
    for folder in ("benchmarks", "docs")
    for path in (PACKAGE.parent / folder).glob("*.py")
    if "cli.run(main)" in path.read_text(encoding="utf-8")  # the others are shared by these
)

GROUND = {"errors", "files", "manifest", "progress", "settings", "config", "runtime"}
GROUND |= {"workers"}
ALLOWED = {
    "lidc": GROUND,
    "phantom": GROUND | {"lidc"},
    "preprocess": GROUND | {"lidc"},
    "data": GROUND,
    "models": GROUND | {"data"},
    "evaluation": GROUND | {"data", "models"},
    "training": GROUND | {"data", "models", "evaluation", "figures"},
    "inference": GROUND | {"data", "models", "evaluation", "training"},
}
ROOMS = GROUND | set(ALLOWED) | {"figures", "commands"}
WHOLE_WAY = {"inference/findings.py"}
"""Walks from a CT to its findings, so it may import every room."""


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_imports_go_one_way() -> None:
    for name, tree in modules():
        room = name.split("/")[0]
        if room not in ALLOWED or name in WHOLE_WAY:
            continue
        named = {n.split(".")[1] for n in imported(tree) if n.startswith("lungdx_paddle.")}
        rooms = named & ROOMS
        assert rooms <= ALLOWED[room] | {room}, f"{name} imports {rooms - ALLOWED[room]}"


def test_what_reads_scans_never_imports_paddle() -> None:
    code = (
        "import sys, pkgutil, importlib, lungdx_paddle.lidc, lungdx_paddle.preprocess\n"
        "for room in (lungdx_paddle.lidc, lungdx_paddle.preprocess):\n"
        "    for m in pkgutil.walk_packages(room.__path__, room.__name__ + '.'):\n"
        "        importlib.import_module(m.name)\n"
        "sys.exit('paddle' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rooms_stay_small() -> None:
    for name, tree in modules():
        lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
        assert lines <= 300, f"{name} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{name}: {node.name} has {length} lines"


def test_every_test_file_is_collected() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        assert path.name.startswith("test_") or path.name == "conftest.py", path


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_a_tool_is_short(tool: Path) -> None:
    assert tool.read_text(encoding="utf-8").count("\n") <= 40


@pytest.mark.parametrize(
    "tool", TOOLS + OTHER_COMMANDS, ids=lambda path: f"{path.parent.name}-{path.stem}"
)
def test_the_help_of_a_tool_has_an_example_and_needs_no_paddle(tool: Path) -> None:
    code = (
        "import os, sys, runpy\n"
        "sys.argv = [sys.argv[1], '--help']\n"
        "sys.path.insert(0, os.path.dirname(sys.argv[0]))\n"
        "try:\n"
        "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    sys.exit(end.code or 'paddle' in sys.modules)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tool)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert f"example:\n  python {tool.parent.name}/{tool.name}" in ran.stdout
