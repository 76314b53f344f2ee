"""Read the sheets of Excel's workbooks, .xlsx and .xls, as rows of text."""

from __future__ import annotations

import contextlib
import io
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence

from lungdx_paddle.errors import InstallError
from lungdx_paddle.extras import install_hint, not_installed

LARGEST_TABLE_BYTES = 2**26
"""Unpacked: 25 times the manifest of all of LIDC-IDRI; what is larger may fill the memory."""

MOST_CELLS = 10**7
"""In a sheet: a workbook of a few kilobytes can say that it has a thousand times as many."""

SAVE_AS = 'open it in a spreadsheet program and save it as .xlsx or as "CSV UTF-8"'

XLS_START, XLSX_START = b"\xd0\xcf\x11\xe0", b"PK\x03\x04"
"""First bytes of an OLE2 document and of a zip archive."""

Row = tuple[int, list[str]]
"""The row's line, from 1, and its cells."""

Sheet = tuple[str, Iterable[Sequence[object]]]
"""Its title, and its rows from the first on."""


class NoTableError(Exception):
    """Why a file is no table; the line, if one is wrong; what to do."""

    def __init__(self, found: str, line: int | None = None, fix: str = SAVE_AS) -> None:
        super().__init__(found)
        self.found, self.line, self.fix = " ".join(found.split()), line, fix


def sheets_of(data: bytes) -> list[tuple[str, Iterator[Row]]]:
    """The title and the rows of each sheet of a workbook: .xls, or .xlsx, which needs openpyxl.

    Sheets that are hidden come last.

    Raises:
        InstallError: the package that reads it is installed and cannot be imported.
        NoTableError: it is damaged, too large or another file; also while rows are read.
    """
    with _understood():
        sheets = _xls_sheets if data.startswith(XLS_START) else _xlsx_sheets
        return [(title, _rows(rows)) for title, rows in sheets(data)]


@contextlib.contextmanager
def _understood() -> Iterator[None]:
    """The packages raise nearly anything on a file that is damaged, locked or of Word."""
    try:
        yield
    except (NoTableError, InstallError):
        raise
    except Exception as error:
        found = f"a workbook that is damaged or has a password ({error})"
        raise NoTableError(found) from error


def _rows(rows: Iterable[Sequence[object]]) -> Iterator[Row]:
    count = 0
    with _understood():
        for number, row in enumerate(rows, start=1):
            count += len(row)
            if count > MOST_CELLS:
                raise NoTableError(f"more than {MOST_CELLS} cells", number)
            yield number, [_as_text(value) for value in row]


def _as_text(value: object) -> str:
    """A cell's value as a CSV would hold it; spreadsheets hold whole numbers as floats."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return "" if value is None else str(value)


def _xlsx_sheets(data: bytes) -> Iterator[Sheet]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    if not any(name.startswith("xl/") for name in sizes):
        if "content.xml" in sizes:
            raise NoTableError("an OpenDocument table")
        raise NoTableError("a zip archive", fix="unpack it")
    if "xl/workbook.bin" in sizes:
        raise NoTableError("an .xlsb workbook")
    if sum(sizes.values()) > LARGEST_TABLE_BYTES:
        raise NoTableError(f"a workbook of more than {LARGEST_TABLE_BYTES} bytes unpacked")
    try:
        import openpyxl
    except Exception as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != "openpyxl":
            raise not_installed(error, "openpyxl") from error
        fix = f"{install_hint('excel')}, or save it as CSV"
        raise NoTableError("an .xlsx workbook, and no openpyxl to read it", fix=fix) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions, which do not matter
        book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    for sheet in sorted(book.worksheets, key=lambda sheet: sheet.sheet_state != "visible"):
        sheet.reset_dimensions()  # what a file says of its size may be wrong
        yield sheet.title, sheet.iter_rows(values_only=True)


def _xls_sheets(data: bytes) -> Iterator[Sheet]:
    try:
        import xlrd  # here, as nearly all tables are text
    except Exception as error:
        raise not_installed(error, "xlrd") from error
    # Unless told otherwise it fills up the rows, to 16 million cells, and talks to stdout.
    book = xlrd.open_workbook(
        file_contents=data, logfile=io.StringIO(), on_demand=True, ragged_rows=True
    )

    def value(cell: xlrd.sheet.Cell) -> object:
        if cell.ctype == xlrd.XL_CELL_DATE:  # a number in the file, as are errors
            return xlrd.xldate_as_datetime(cell.value, book.datemode)
        if cell.ctype == xlrd.XL_CELL_ERROR:
            return xlrd.error_text_from_code.get(cell.value, "an error")
        return bool(cell.value) if cell.ctype == xlrd.XL_CELL_BOOLEAN else cell.value

    for sheet in sorted(book.sheets(), key=lambda sheet: sheet.visibility):
        yield sheet.name, ([value(cell) for cell in row] for row in sheet.get_rows())
