"""Read a table that people made, whatever program wrote it: CSV, TSV, .xlsx or .xls, as text.

What a file is shows in its first bytes, not in its name: many programs write text into files
named ``.xls``.  Of several ways to read it, delimiters or sheets, the one counts whose header
names most of the wanted columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from lungdx_paddle.errors import LungdxError
from lungdx_paddle.files import gunzip
from lungdx_paddle.workbooks import LARGEST_TABLE_BYTES as LARGEST_TABLE_BYTES
from lungdx_paddle.workbooks import XLS_START, XLSX_START, NoTableError, Row, sheets_of

MOST_COLUMNS = 16384
"""As many as Excel has; a row of more is no table's."""

HEADER_ROWS = 20
"""The header is looked for in so many rows: titles and remarks may stand above it."""

DELIMITERS = ",;\t|"

_STARTS = {
    b"%PDF": "a PDF",
    b"Rar!": "a rar archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
_GZIP = b"\x1f\x8b"
_ABOVE = re.compile(r"((?:#[^\r\n]*(?:\r\n|\r|\n|\Z))*(?:sep=(.)(?:\r\n|\r|\n))?)", re.IGNORECASE)
_LINE_END, _FILLED_UP = re.compile(r"\r\n|\r|\n"), re.compile(r"(?<!;);+(?=[\r\n]|\Z)")


@dataclass(frozen=True)
class TableKind:
    """What a table is read as."""

    what: str
    """Such as ``a manifest``."""
    columns: Callable[[Sequence[str]], int]
    """How many of its columns the cells of a row name; the header names most."""
    error: type[LungdxError]
    """Says that a file is no such table."""
    latin: bool = False
    """Text in Windows' western encoding is read too: nothing but remarks is beyond ASCII."""


@dataclass(frozen=True)
class Table:
    """The cells of a table, as text."""

    header_line: int
    header: tuple[str, ...]
    """Without blanks at its ends or empty cells behind it."""
    rows: tuple[Row, ...]
    """Those below the header that are not empty; a row of a text file may be shorter."""
    decimal_comma: bool
    """Whether 0,5 is a number here: no comma stands between cells."""
    notes: tuple[str, ...]
    """What was doubtful in reading it."""


@dataclass
class _Reading:
    """One way to read a file: its first rows, the header among them, and the others."""

    name: str
    rest: Iterator[Row]
    decimal_comma: bool = True
    is_text: bool = False
    has_end: bool = True
    """Whether the last line has a line end."""
    head: list[Row] = field(default_factory=list)
    failure: NoTableError | None = None
    columns: int = 0
    at: int = 0
    """How many wanted columns the header names, and which of the first rows it is."""

    def read_head(self, columns: Callable[[Sequence[str]], int]) -> None:
        try:
            self.head.extend(islice(self.rest, HEADER_ROWS))
        except NoTableError as error:
            self.failure = error
        found = [columns(cells) for _, cells in self.head]
        self.columns = max(found, default=0)
        self.at = found.index(self.columns) if found else 0


def read_table(name: str, data: bytes, kind: TableKind) -> Table:
    """The header and the rows of a table.

    Args:
        name: of the file, for messages.
        data: its bytes: text in UTF-8 or UTF-16 with commas, semicolons, tabs or ``|``, a
            workbook of Excel (.xlsx needs openpyxl), or one of these in gzip.
        kind: what it is to be.

    Raises:
        LungdxError: ``kind.error``: it cannot be read, is too large, or has a row with more
            cells than the header.
    """
    try:
        return _read(data, kind)
    except NoTableError as error:
        where = name if error.line is None else f"{name}:{error.line}"
        raise kind.error(where, expected=kind.what, found=error.found, fix=error.fix) from error


def _read(data: bytes, kind: TableKind) -> Table:
    if data.startswith(_GZIP):
        try:
            data = gunzip(io.BytesIO(data), LARGEST_TABLE_BYTES)
        except OSError as error:
            raise NoTableError(error.strerror or str(error)) from error
    if len(data) > LARGEST_TABLE_BYTES:
        raise NoTableError(f"more than {LARGEST_TABLE_BYTES} bytes")
    readings, notes = _readings(data, kind.latin)
    if not readings:
        raise NoTableError("a workbook without sheets")
    for reading in readings:
        reading.read_head(kind.columns)
    reading = max(readings, key=lambda reading: reading.columns)
    alike = [other.name for other in readings if other.columns == reading.columns > 0]
    if len(alike) > 1 and not reading.is_text:
        notes.append(f"of the sheets {', '.join(alike)} the first is read")
    if reading.failure is not None:
        raise reading.failure
    line, header = reading.head[reading.at] if reading.head else (1, [])
    header = [cell.strip() for cell in header]
    while header and not header[-1]:
        header.pop()
    rows = []
    for number, cells in (*reading.head[reading.at + 1 :], *reading.rest):
        # In a text a delimiter without quotes moves cells; in a sheet it is a remark.
        if reading.is_text and any(map(str.strip, cells[len(header) :])):
            found_cells = f"{len(cells)} cells, more than the header's {len(header)}"
            fix = "put a cell that holds the delimiter between quotes, or name its column"
            raise NoTableError(found_cells, number, fix)
        if any(map(str.strip, cells)):
            del cells[len(header) :]
            if not reading.is_text:
                cells += [""] * (len(header) - len(cells))
            rows.append((number, cells))
    if rows and not reading.has_end and len(rows[-1][1]) < len(header):
        raise NoTableError("a last row that is cut off", rows[-1][0], "copy the file again")
    return Table(line, tuple(header), tuple(rows), reading.decimal_comma, tuple(notes))


def _readings(data: bytes, latin: bool) -> tuple[list[_Reading], list[str]]:
    """Every way to read the bytes, and what is doubtful about all of them."""
    for start, what in _STARTS.items():
        if data.startswith(start):
            raise NoTableError(what)
    if data.startswith((XLS_START, XLSX_START)):
        return [_Reading(title, rows) for title, rows in sheets_of(data)], []
    text, notes = _decode(data, latin)
    markup = text.lstrip()[:100].lower()
    if markup.startswith("<"):
        raise NoTableError("an XML document" if "<?xml" in markup else "an HTML page")
    if text.endswith("\r") and "\r\n" not in text:
        text = text.replace("\n", " ")  # where rows end in \r, lines within a cell end in \n
    # What may hold any quotes: comments, and Excel's own way to name the delimiter.
    above = _ABOVE.match(text)
    assert above  # it matches nothing too
    text, lines = text[above.end() :], len(_LINE_END.findall(above[1]))
    # Excel, where it splits at semicolons, fills up the lines of a file of commas with them.
    first = text[: end.start()] if (end := _LINE_END.search(text)) else text
    trimmed = _FILLED_UP.sub("", text) if "," in first and first.endswith(";") else text
    return [
        _Reading(
            name=d,
            rest=_text_rows(trimmed if d == "," else text, d, lines),
            decimal_comma=d != ",",
            is_text=True,
            has_end=text.endswith(("\n", "\r")),
        )
        for d in above[2] or DELIMITERS
    ], notes


def _decode(data: bytes, latin: bool) -> tuple[str, list[str]]:
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif b"\0" in data[:2]:  # ASCII letters in UTF-16 without its mark
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    notes = []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = data.decode("cp1252" if latin and encoding == "utf-8-sig" else encoding)
        except UnicodeDecodeError:
            raise NoTableError("bytes that are not UTF-8, nor text in UTF-16") from error
        notes.append("not in UTF-8: read as Windows' western encoding (cp1252)")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise NoTableError("NUL characters, as damaged and binary files have them", line)
    return text, notes


def _text_rows(text: str, delimiter: str, above: int) -> Iterator[Row]:
    """The rows of a text, with the lines on which they end, counted behind ``above`` others."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            if len(cells) > MOST_COLUMNS:
                raise NoTableError(f"{len(cells)} cells in a row", above + reader.line_num)
            if cells:
                yield above + reader.line_num, cells
    except csv.Error as error:
        fix = "correct the quotes, or save it again from the program that made it"
        raise NoTableError(str(error), above + reader.line_num, fix) from error
