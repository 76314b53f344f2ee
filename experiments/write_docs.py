"""Put the recorded numbers into README.md and docs/: every generated table and quoted number.

A page holds a mark where they stand, an HTML comment that no reader sees:

  <!-- numbers: NAME PART OPTION ... -->  a table of docs/lab/numbers/NAME.json, made by the
                                          function PART of its study, up to <!-- end -->
  <!-- number: NAME KEY.KEY DIGITS -->    one number of its results, in running text
  <!-- numbers: benchmarks PART -->       a table of what benchmarks/run.py wrote, as is
  <!-- numbers: soak soak -->             that of benchmarks/soak.py
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record import NUMBERS, ROOT, Record
from spread import shown

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.files import UnreadableError, read_json, read_text, write_text

ALL_BENCHMARKS, SOAK = "benchmarks", "soak"
"""Names of the files of ``benchmarks/run.py`` and ``soak.py``, which have no crops and seeds."""

sys.path.append(str(ROOT / ALL_BENCHMARKS))

START = re.compile(r"<!-- numbers?: ")
MARK = re.compile(
    r"(?P<start><!-- (?P<kind>numbers?): (?P<name>[\w-]+) (?P<part>[\w.-]+)"
    r"(?P<options>[^<>\n]*) -->)"
    r"(?P<inside>.*?)<!-- end -->",
    re.DOTALL,
)


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may hold numbers."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


def written(page: Path, numbers: Path = NUMBERS) -> tuple[str, list[str]]:
    """A page's text with the numbers as they are recorded, and the marks that were not up to date.

    Raises:
        LungdxError: a mark has no end, would break its paragraph, or names a record, part or
            number that does not exist.
    """
    text = read_text(page)
    marks = list(MARK.finditer(text))
    if len(START.findall(text)) != len(marks) or any(START.search(m["inside"]) for m in marks):
        raise _bad(page.name, "a mark that is not whole", "write NAME PART, and <!-- end --> after")
    stale, new, done, above = [], "", 0, set()
    for mark in marks:
        where = f"{page.name}, {mark['start']}"
        line = text[text.rfind("\n", 0, mark.start()) + 1 : mark.start()]
        if mark["kind"] == "number" and not line.strip():  # HTML at its beginning ends a paragraph
            raise _bad(where, "a number that begins a line", "put a word of the sentence before it")
        path = numbers / f"{mark['name']}.json"
        options = mark["options"].split()
        if mark["name"] in (ALL_BENCHMARKS, SOAK):
            inside = f"\n\n{_benchmark(path, mark['part'], where)}\n\n"
        elif (record := Record.read(path)) and mark["kind"] == "numbers":
            link = os.path.relpath(path, page.parent).replace(os.sep, "/")
            making = "as above" if path in above else f"{record.what} {record.making}"
            above.add(path)
            made = _table(record, mark["part"], options, where)
            origin = f"<small>[{path.name}]({link}): {making}; {record.origin}.</small>"
            inside = f"\n\n{made}\n\n{origin}"
        else:
            inside = _number(record, mark["part"], options, where)
        if inside != mark["inside"]:
            stale.append(f"{page.name}: {mark['name']} {mark['part']}")
        new += text[done : mark.end("start")] + inside
        done = mark.start() + len(mark["start"]) + len(mark["inside"])
    return new + text[done:], stale


def _benchmark(path: Path, part: str, where: str) -> str:
    """The table of one benchmark, which says itself on what machine it was measured."""
    try:
        records = read_json(path) if path.stem == ALL_BENCHMARKS else {SOAK: read_json(path)}
        return str(importlib.import_module(part).table(records[part]))
    except (UnreadableError, ImportError, AttributeError, KeyError) as error:
        fix = "name one of benchmarks/run.py or soak, and copy its JSON file there"
        raise _bad(where, f"{type(error).__name__}: {error}", fix) from error


def _table(record: Record, part: str, options: Sequence[str], where: str) -> str:
    try:
        make = getattr(importlib.import_module(record.study), part)
        return str(make(record.results, *options))
    except (ImportError, AttributeError, KeyError) as error:
        fix = "name a function of the study, or measure it again"
        raise _bad(where, f"{type(error).__name__}: {error}", fix) from error


def _number(record: Record, keys: str, options: Sequence[str], where: str) -> str:
    value: Any = record.results
    for key in keys.split("."):
        if not isinstance(value, Mapping) or key not in value:
            there = ", ".join(value) if isinstance(value, Mapping) else "nothing below"
            raise _bad(where, f"no {key!r}", f"there is {there}")
        value = value[key]
    return shown(value, *map(int, options)) + " (phantom)" * record.is_phantom


def _bad(where: str, found: str, fix: str) -> LungdxError:
    return LungdxError(where, expected="a recorded number or table", found=found, fix=fix)


def main(argv: Sequence[str] | None = None) -> None:
    """Rewrite the pages, or check them."""
    parser = cli.parser(__doc__, "python experiments/write_docs.py --check")
    parser.add_argument("--check", action="store_true", help="write nothing; say what differs")
    options = parser.parse_args(argv)
    found = []
    for page in pages():
        text, stale = written(page, NUMBERS)
        found += stale
        if stale and not options.check:
            write_text(page, text)
    if options.check and found:
        cli.say("not as recorded (python experiments/write_docs.py puts it right):", *found)
        raise SystemExit(1)
    cli.say(*found, f"{len(found)} written anew")


if __name__ == "__main__":
    cli.run(main)
