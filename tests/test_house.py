"""Architecture rules: imports go one way, rooms stay small, every large module has its tests."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "lungdx_paddle"
TOOLS = sorted((ROOT / "tools").glob("*.py"))
OTHER_COMMANDS = sorted(
    path
    for folder in ("benchmarks", "docs", "experiments")
    for path in (ROOT / folder).glob("*.py")
    if "cli.run(main)" in path.read_text(encoding="utf-8")  # the others are shared by these
)

FLOORS = (
    {"ground"},  # the modules beside the rooms
    {"lidc"},
    {"phantom", "preprocess"},
    {"data"},
    {"models"},
    {"evaluation"},
    {"training"},
    {"inference"},
    {"reporting"},
    {"serving"},
    {"figures"},  # reads results of any room and is called by commands only
    {"commands"},
)
HEIGHT = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
WITHOUT_PADDLE = ("ground", "lidc", "phantom", "preprocess")

UPWARDS: set[tuple[str, str]] = set()
"""Known imports against the order."""
WITHOUT_A_TEST_OF_ITS_NAME = {
    "training": "held_out run_metrics split_record",
    "training/parallel": "jobs",
}
"""Folder -> known modules over 80 lines whose tests have another name; to become empty."""

WRITES = set(
    "write_bytes write_text rename fsync copyfile copy2 copytree move save save_as savefig".split()
)
"""Methods that write a file or give it its name, beside ``replace`` and ``open`` for writing."""

WRITERS = {
    "commands/cli.py": "to the system's null device",
    "figures/canvas.py": "to memory",
    "inference/export.py": "Paddle's own, synced before inference.yml names their digests",
    "phantom/dicom_files.py": "synced with the patient's folder",
    "preprocess/diagnosed.py": "synced before the manifest lists them",
    "preprocess/patches/patch_pipeline.py": "into a new_folder",
    "preprocess/resume.py": "into a new_folder",
    "preprocess/slice_images.py": "into a new_folder",
    "reporting/dicom_source.py": "to memory",
    "serving/web/unpack.py": "of a request, gone with its answer",
    "serving/web/uploads.py": "of a request, gone with its answer",
    "training/checkpoint.py": "under names that a later process knows, synced before the renames",
}
"""What does so beside disk.py, and why a power cut takes nothing away there."""


def modules() -> Iterator[tuple[str, str, ast.Module]]:
    """(path in the package, room, syntax tree) of every module but the entry points."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name not in ("__init__.py", "__main__.py"):
            room = name.split("/")[0] if "/" in name else "ground"
            yield name, room, ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> set[str]:
    """Full names of what is imported anywhere in a module."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def test_every_folder_has_a_level_in_the_import_order() -> None:
    assert {room for _, room, _ in modules()} <= set(HEIGHT)


def test_imports_go_one_way() -> None:
    for name, room, tree in modules():
        own = {n.split(".")[1] for n in imported(tree) if n.startswith("lungdx_paddle.")}
        for other in own & set(HEIGHT) - {room}:
            below = HEIGHT[other] < HEIGHT[room]
            assert below or (room, other) in UPWARDS, f"{name} imports {other}"


def test_what_reads_scans_never_imports_paddle() -> None:
    names = [
        "lungdx_paddle." + name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name, room, _ in modules()
        if room in WITHOUT_PADDLE
    ]
    code = (
        f"import sys, importlib\nfor name in {names}:\n    importlib.import_module(name)\n"
        "sys.exit('paddle' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    for name, room, tree in modules():
        if room in WITHOUT_PADDLE[1:]:  # runtime.py imports it where it is used
            assert not {n for n in imported(tree) if n.split(".")[0] == "paddle"}, name


def test_what_predicts_needs_no_extra_to_be_imported() -> None:
    """A server has ONNX Runtime, and neither Paddle nor the 200 MB of VisualDL."""
    code = (
        "import sys\n"
        "for name in ('paddle', 'visualdl', 'matplotlib', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "import lungdx_paddle.commands.predict_nodules\n"
        "import lungdx_paddle.inference.predictor, lungdx_paddle.inference.findings\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_pictures_are_drawn_in_one_room() -> None:
    for name, room, tree in modules():
        draws = {n for n in imported(tree) if n.split(".")[0] == "matplotlib"}
        assert room == "figures" or not draws, f"{name} imports {draws}"


def test_files_are_written_in_one_place_that_puts_them_on_the_disk() -> None:
    found = set()
    for name, _, tree in modules():
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            text, function = ast.unparse(call), ast.unparse(call.func)
            method = function.split(".")[-1]
            moves = function == "os.replace" or method == "replace" and len(call.args) == 1
            moves = moves and not call.keywords  # dataclasses.replace
            opens = method == "open" and re.search(r"'[wax]b?\+?'", text)
            if opens or ("." in function and (method in WRITES or moves)):
                found.add(name)
    assert found == {"disk.py", *WRITERS}


def test_no_two_files_have_one_name() -> None:
    names = Counter(Path(name).name for name, _, _ in modules())
    del names["__init__.py"]
    assert {name for name, count in names.items() if count > 1} == set()


def test_files_and_functions_stay_small() -> None:
    for name, _, tree in modules():
        lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
        assert lines <= 300, f"{name} has {lines} lines"
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or 0) - node.lineno + 1
                assert length <= 60, f"{name}: {node.name} has {length} lines"


def test_every_test_is_collected() -> None:
    for path in Path(__file__).parent.rglob("*.py"):
        tests = path.read_text(encoding="utf-8").count("\ndef test_")
        assert path.name.startswith("test_") == bool(tests), path


def test_a_module_over_80_lines_has_a_test_of_its_name() -> None:
    for name, _, _ in modules():
        path = Path(name)
        known = WITHOUT_A_TEST_OF_ITS_NAME.get(path.parent.as_posix(), "").split()
        test = ROOT / "tests" / path.parent / f"test_{path.name}"
        if path.name != "__init__.py" and path.stem not in known:
            lines = (PACKAGE / name).read_text(encoding="utf-8").count("\n")
            assert lines <= 80 or test.is_file(), f"{name} has {lines} lines and no {test.name}"


def test_messages_name_no_project_that_pypi_does_not_have() -> None:
    for name, _, _ in modules():
        assert "lungdx-paddle[" not in (PACKAGE / name).read_text(encoding="utf-8"), name


@pytest.mark.parametrize("tool", TOOLS, ids=lambda path: path.stem)
def test_a_tool_only_calls_its_command(tool: Path) -> None:
    doc, *lines = tool.read_text(encoding="utf-8").splitlines()
    assert doc.startswith('"""') and doc.endswith('"""')
    assert [line for line in lines if line] == [
        "from lungdx_paddle.__main__ import run_command",
        'if __name__ == "__main__":',
        f'    run_command("{tool.stem}")',
    ]


def name_of(tool: Path) -> str:
    return f"{tool.parent.name}-{tool.stem}"


STUDIES = [tool for tool in OTHER_COMMANDS if tool.parent.name == "experiments"]
"""Run by few, once: their help may import Paddle."""


@pytest.mark.parametrize("tool", STUDIES, ids=name_of)
def test_the_help_of_a_study_has_an_example(
    tool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [str(tool), "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(tool), run_name="__main__")
    assert not end.value.code
    assert f"example:\n  python {tool.parent.name}/{tool.name}" in capsys.readouterr().out


@pytest.mark.parametrize("tool", sorted({*TOOLS, *OTHER_COMMANDS} - {*STUDIES}), ids=name_of)
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
