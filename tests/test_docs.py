"""The documentation: short where it must be, without dead links, and true of the code."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pytest
import yaml

from lungdx_paddle.config import load_config
from lungdx_paddle.lidc.attributes import NEEDED, NUMBERS, STATED, TEXTS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
PAGES += sorted(DOCS.rglob("*.md"))
SOURCES = ("lungdx_paddle", "tools", "configs", "benchmarks", "experiments", "tests", "docs")
NOTEBOOK = DOCS / "tutorial" / "phantom.ipynb"

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


def blocks(language: str, paths: list[Path] = PAGES) -> Iterator[tuple[Path, str]]:
    for path in paths:
        text = path.read_text(encoding="utf-8")
        for code in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL):
            yield path, code


def anchors(path: Path) -> set[str]:
    """The names that GitHub and MkDocs give to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


def test_the_readme_is_short_and_shows_a_picture_and_the_warning() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") < 110
    assert "![" in text and "not a medical device" in text


@page
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text(encoding="utf-8"))):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.is_file(), f"{path.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{path.name}: {target}"


@page
def test_a_page_names_no_folder_of_a_machine_and_no_registry(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.~-])/(home|root|tmp|Users|mnt|work)/", text)
    assert not re.search(r"https?://[\w.-]*(pypi|index|simple|mirror)", text)


def test_source_files_that_a_page_names_exist() -> None:
    files = [p.relative_to(ROOT).as_posix() for top in SOURCES for p in (ROOT / top).rglob("*")]
    for path in PAGES:
        if path.parent.name == "lab":  # reports of their day
            continue
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"`([\w/]+\.py|configs/\w+\.yaml)`", text):
            assert any(f"/{file}".endswith(f"/{name}") for file in files), f"{path.name}: {name}"


def test_pages_that_the_code_names_exist() -> None:
    files = [path for top in SOURCES[:-1] for path in (ROOT / top).rglob("*.*")]
    for path in [path for path in files if path.suffix in (".py", ".yaml")]:
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8")):
            assert (ROOT / name).is_file(), f"{path}: {name}"


def test_every_page_stands_in_the_navigation() -> None:
    lines = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r": ([\w/-]+\.md)$", lines, flags=re.MULTILINE))
    assert named == {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


@lru_cache
def help_of(tool: str) -> str:
    words = [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--help"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def tool_commands() -> list[str]:
    lines = [line for _, code in blocks("bash") for line in code.splitlines()]
    return sorted({line[line.index("tools/") :] for line in lines if "tools/" in line})


@pytest.mark.parametrize("command", tool_commands())
def test_a_command_of_the_docs_has_only_options_and_settings_that_exist(command: str) -> None:
    tool, *words = shlex.split(command)
    known = help_of(Path(tool).stem)
    for word in words:
        if re.match(r"--?[a-z]", word):
            assert re.search(rf"(?<![\w-]){word}(?![\w-])", known), f"{tool} has no {word}"
    settings = [word for word in words if re.match(r"[a-z_.]+=", word)]
    load_config(ROOT / "configs" / "partial_soft.yaml", settings)


def test_the_command_line_page_has_every_option_and_no_other() -> None:
    text = (DOCS / "reference" / "command_line.md").read_text(encoding="utf-8")
    common, *sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    tools = {section.split("\n")[0]: section for section in sections}
    assert set(tools) - {"Environment variables"} == {p.stem for p in (ROOT / "tools").glob("*.py")}
    for tool, section in tools.items():
        if tool == "Environment variables":
            continue
        options = set(re.findall(r"--[a-z][a-z-]+", help_of(tool))) - {"--help"}
        written = set(re.findall(r"--[a-z][a-z-]+", section))
        shared = set(re.findall(r"--[a-z][a-z-]+", common))
        assert written <= options, f"{tool} has no {written - options}"
        assert options <= written | shared, f"{tool}: {options - written - shared} is missing"


def test_configurations_of_the_docs_are_legal(tmp_path: Path) -> None:
    for path, code in blocks("yaml"):
        base = yaml.safe_load(code)["_base_"]
        own = tmp_path / "own.yaml"
        own.write_text(code.replace(base, str(ROOT / "configs" / base)), encoding="utf-8")
        load_config(own, [])
        assert path.is_file()


def test_samples_of_json_are_json() -> None:
    for _, code in blocks("json"):
        assert json.loads(code)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a phantom under the names that the docs' snippets use."""
    from lungdx_paddle.phantom import write_phantom
    from lungdx_paddle.preprocess.pipeline import preprocess

    folder = tmp_path_factory.mktemp("docs")
    write_phantom(folder / "LIDC-IDRI", 1)
    (folder / "LIDC-IDRI" / "PHANTOM-0001").rename(folder / "LIDC-IDRI" / "LIDC-IDRI-0001")
    preprocess(folder / "LIDC-IDRI", folder / "crops")
    return folder


def test_snippets_that_need_no_run_do_run(
    collection: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(collection)
    for path, code in blocks("python"):
        if "output/" in code:
            continue
        (collection / "snippet.py").write_text(code, encoding="utf-8")
        runpy.run_path("snippet.py")
        assert capsys.readouterr().out, f"{path.name} prints nothing"


def test_a_snippet_names_only_what_can_be_imported() -> None:
    for path, code in blocks("python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lungdx_paddle"):
                module = importlib.import_module(node.module or "")
                missing = [name.name for name in node.names if not hasattr(module, name.name)]
                assert not missing, f"{path.name}: {node.module} has no {missing}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    loaded = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="https?://')
    for path in tmp_path.rglob("*.html"):
        assert not loaded.search(path.read_text(encoding="utf-8")), path


def test_the_notebook_is_small_and_its_cells_run(tmp_path: Path) -> None:
    assert NOTEBOOK.stat().st_size < 200_000
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    assert not any(cell.get("outputs") for cell in cells)
    ran = subprocess.run(
        [sys.executable, "-c", code.replace("%matplotlib inline", "")],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_every_dicom_attribute_is_documented_with_what_it_is_needed_for() -> None:
    page = (DOCS / "reference" / "reading.md").read_text(encoding="utf-8")
    page = page.partition("## LIDC XML")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (needed|stated|helpful) \|", page, re.MULTILINE)
    documented = {name: need for names, need in rows for name in re.findall(r"\w+", names)}
    needs = {**{name: rule.need for name, rule in NUMBERS.items()}, **TEXTS}
    words = {NEEDED: "needed", STATED: "stated"}
    assert documented == {name: words.get(need, "helpful") for name, need in needs.items()}


def test_every_item_of_a_checklist_has_a_line_that_says_where_or_why_not() -> None:
    page = (DOCS / "reference" / "checklist.md").read_text(encoding="utf-8")
    _, claim, tripod, facts = page.split("\n## ")
    rows = [
        re.findall(
            r"^\| (\d+[a-g]?) \| ([^|\s][^|]*) \| ([^|\s][^|]*) \|$", part, flags=re.MULTILINE
        )
        for part in (claim, tripod)
    ]
    lettered = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef"}
    lettered |= {20: "abc", 23: "ab", 27: "abc"}
    of_tripod = [f"{n}{letter}" for n in range(1, 28) for letter in lettered.get(n, [""])]
    assert [row[0] for row in rows[0]] == [str(n) for n in range(1, 45)]
    assert [row[0] for row in rows[1]] == of_tripod
    assert facts.count("\n| ") == 1 + 7
