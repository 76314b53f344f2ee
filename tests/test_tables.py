"""A table is read as Excel, pandas or a person wrote it, or refused with the true reason."""

from __future__ import annotations

import codecs
import gzip
import time
from collections.abc import Sequence
from itertools import count

import pytest

from lungdx_paddle.errors import LidcError
from lungdx_paddle.tables import LARGEST_TABLE_BYTES, Table, TableKind, read_table


def wanted(cells: Sequence[str]) -> int:
    return len({"name", "size"} & {cell.strip() for cell in cells})


KIND = TableKind("a list", wanted, LidcError)
LATIN = TableKind("a list", wanted, LidcError, latin=True)
PLAIN = "name,size\na,1\nb,2\n"
ROWS = ((2, ["a", "1"]), (3, ["b", "2"]))


def read(data: bytes | str, kind: TableKind = KIND) -> Table:
    return read_table("t.csv", data.encode() if isinstance(data, str) else data, kind)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        PLAIN.replace(",", "|"),
        PLAIN + "\n,\n , \n",
        PLAIN.replace("\n", ",,\n"),
        "name,size;;\na,1;;\nb,2\n",
        codecs.BOM_UTF8 + PLAIN.encode(),
        PLAIN.replace(",", "\t").encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.encode("utf-16-be"),
        gzip.compress(PLAIN.encode()),
        '"name";"size"\n"a";"1"\n"b";"2"\n',
        PLAIN.removesuffix("\n"),
    ],
    ids=count(),  # not the bytes, of which some hold the time
)
def test_one_table_in_many_spellings(data: bytes | str) -> None:
    table = read(data)
    assert (table.header, table.rows, table.notes) == (("name", "size"), ROWS, ())


def test_what_stands_above_the_header_is_passed_over_and_its_lines_count() -> None:
    table = read('# by "x" y\r\n# 2\r\nsep=;\r\n"My, list";\r\n;\r\nname;size\r\na;0,5\r\n')
    assert (table.header_line, table.rows) == (6, ((7, ["a", "0,5"]),))
    assert table.decimal_comma
    assert not read(PLAIN).decimal_comma


def test_a_cell_may_hold_delimiters_and_line_breaks() -> None:
    assert read('name;size\n"a;\nb,";1\n').rows == ((3, ["a;\nb,", "1"]),)


def test_where_rows_end_in_cr_a_heading_may_hold_line_feeds() -> None:
    table = read('name,"size\n1 small",of\n 2 what\ra,1,\r')
    assert (table.header, table.rows) == (
        ("name", "size 1 small", "of  2 what"),
        ((2, ["a", "1", ""]),),
    )


def test_text_of_windows_is_read_where_it_may_be_and_noted() -> None:
    data = "name,size\nLunge größer,1\n".encode("cp1252")
    table = read(data, LATIN)
    assert table.rows[0][1][0] == "Lunge größer"
    assert "read as Windows' western encoding" in table.notes[0]
    with pytest.raises(LidcError, match=r'bytes that are not UTF-8.*save it as .*"CSV UTF-8"'):
        read(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("name,size\na,1,2\n", "t.csv:2: expected a list, found 3 cells, more than the header's 2"),
        ('name,size\na,"1\nb,2\n', "t.csv:3: .*unexpected end of data"),
        ('name,size\n"a"b,1\n', "t.csv:2: .*'' expected after|t.csv:2: .*expected after"),
        ("name,size\na,1\nb", "t.csv:3: .*a last row that is cut off"),
        ("name,size\na,\0\n", "t.csv:2: .*NUL characters"),
        ("name,size\na," + "x" * 200_000 + "\n", "t.csv:2: .*field larger than"),
        ("  <!DOCTYPE html><table><tr>", "an HTML page; open it in a spreadsheet program"),
        ('<?xml version="1.0"?><Workbook/>', "an XML document"),
        (b"%PDF-1.7", "a PDF"),
        (b"Rar!\x1a\x07", "a rar archive"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (gzip.compress(PLAIN.encode())[:-9], "cut off gzip"),
        (gzip.compress(bytes(LARGEST_TABLE_BYTES + 1)), "more than 67108864 bytes unpacked"),
    ],
    ids=count(),
)
def test_what_is_no_table_is_told_as_what_it_is(data: bytes | str, reason: str) -> None:
    with pytest.raises(LidcError, match=reason):
        read(data)


def test_a_million_columns_are_refused_at_once() -> None:
    start = time.monotonic()
    with pytest.raises(LidcError, match="1000000 cells in a row"):
        read("x," * 999_999 + "x\n" + PLAIN)
    assert time.monotonic() - start < 5


def test_an_empty_file_has_no_header() -> None:
    assert read("").header == ()
