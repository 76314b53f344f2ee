"""Workbooks are read as what their cells show; what is none is told as what it is."""

from __future__ import annotations

import datetime
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import pytest

from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.tables import Table, TableKind, read_table

KIND = TableKind(
    "a list", lambda cells: len({"name", "size"} & {c.strip() for c in cells}), LidcError
)


@pytest.fixture
def workbook() -> Callable[..., bytes]:
    """A function of sheets, rows of values each: the bytes of an .xlsx."""
    openpyxl = pytest.importorskip("openpyxl")

    def write(*sheets: Sequence[Sequence[object]]) -> bytes:
        book = openpyxl.Workbook()
        book.remove(book.active)
        for rows in sheets:
            sheet = book.create_sheet()
            for row in rows:
                sheet.append(list(row))
        stream = io.BytesIO()
        book.save(stream)
        return stream.getvalue()

    return write


def read(data: bytes) -> Table:
    return read_table("t.xls", data, KIND)


def test_cells_are_text_and_whole_numbers_have_no_point(workbook: Callable[..., bytes]) -> None:
    day = datetime.datetime(2003, 2, 1)
    rows = [["name", "size"], ["a", 2.0, "a remark"], [day, 0.703125], ["b"]]
    table = read(workbook([["Title"], [], *rows]))
    assert (table.header_line, table.header) == (3, ("name", "size"))
    assert table.rows == (
        (4, ["a", "2"]),
        (5, ["2003-02-01 00:00:00", "0.703125"]),
        (6, ["b", ""]),
    )


def test_the_sheet_with_the_columns_is_read(workbook: Callable[..., bytes]) -> None:
    remarks, good, old = [["remarks"]], [["size", "name"], [1, "a"]], [["name", "size"], ["b", 2]]
    assert read(workbook(remarks, good)).rows == ((2, ["1", "a"]),)
    table = read(workbook(good, remarks, old))
    assert table.rows == ((2, ["1", "a"]),)
    assert table.notes == ("of the sheets Sheet, Sheet2 the first is read",)


def test_sheets_that_are_hidden_come_last() -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book, stream = openpyxl.Workbook(), io.BytesIO()
    book.active.sheet_state = "hidden"
    for sheet, name in ((book.active, "old"), (book.create_sheet("Now"), "new")):
        sheet.append(["name", "size"])
        sheet.append([name, 1])
    book.save(stream)
    table = read(stream.getvalue())
    assert table.rows == ((2, ["new", "1"]),)
    assert table.notes == ("of the sheets Now, Sheet the first is read",)


@pytest.mark.parametrize(
    ("module", "start"), [("xlrd", b"\xd0\xcf\x11\xe0"), ("openpyxl", b"")], ids=["xls", "xlsx"]
)
def test_a_package_that_is_broken_is_named_and_not_the_table(
    module: str, start: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{module}.py").write_text('raise ImportError("DLL load failed")', "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, module, raising=False)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("xl/workbook.xml", "")
    with pytest.raises(InstallError, match=f"DLL load failed; .*--force-reinstall {module}"):
        read(start or data.getvalue())


def test_without_openpyxl_the_line_says_what_to_install(
    workbook: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = workbook([["name", "size"]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(LidcError, match="no openpyxl to read it; pip install openpyxl, or save it"):
        read(data)


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (zipped(xl__workbook_bin=b""), "an .xlsb workbook; open it in a spreadsheet"),
        (zipped(content_xml=b""), "an OpenDocument table; open it in a spreadsheet"),
        (zipped(a_csv=b"name,size"), "a zip archive; unpack it"),
        (zipped(xl__workbook_xml=bytes(2**26 + 1)), "a workbook of more than 67108864 bytes"),
        (zipped(xl__workbook_xml=b"<"), "a workbook that is damaged"),
        (zipped(a_csv=b"name,size")[:-9], "a workbook that is damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000), "damaged or has a password"),
    ],
    ids=count(),  # not the bytes, which hold the time
)
def test_what_is_no_workbook_is_told_as_what_it_is(
    data: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LidcError, match=reason):
        read(data)
    assert capfd.readouterr() == ("", "")
