"""The diagnosis table of the LIDC-IDRI collection: 157 patients, a code and a site each.

TCIA publishes it as ``tcia-diagnosis-data-2012-04-20.xls``; a CSV with the same columns
will do.  Columns are found by what their headings say, since those run over many lines.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xlrd

from lungdx_paddle.errors import LidcError

CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "unknown",
        1: "benign or non-malignant disease",
        2: "malignant, primary lung cancer",
        3: "malignant, metastatic",
    }
)
"""The table's "Diagnosis at the Patient Level"."""

_HEADINGS = {
    "patient": ("patient id", "patient_id"),
    "code": ("diagnosis at the patient level", "diagnosis"),
    "site": ("primary tumor site", "primary_site"),
}
"""How the heading of each column begins, after any "TCIA", in lower case."""


@dataclass(frozen=True)
class Diagnosis:
    """What is known of one patient's disease."""

    patient_id: str
    code: int
    """0 to 3, see :data:`CODES`."""
    primary_site: str
    """Free text of the column "Primary tumor site", stripped; empty if none."""


def read_diagnoses(path: Path) -> dict[str, Diagnosis]:
    """Read the diagnosis table.

    Args:
        path: ``.xls`` as TCIA ships it, or ``.csv`` with a heading line.

    Returns:
        Diagnoses by patient in the order of the table.

    Raises:
        LidcError: the file cannot be read, lacks a column, or has a row with another code
            than 0 to 3 or with a patient who has stood there before.
    """
    path = Path(path)
    rows = _read_rows(path)
    columns = _find_columns(path, rows[0] if rows else [])
    diagnoses: dict[str, Diagnosis] = {}
    for number, row in enumerate(rows[1:], start=2):
        cells = {name: _cell(row, index) for name, index in columns.items()}
        if not any(cells.values()):  # spreadsheets end in empty rows
            continue
        diagnosis = _parse_row(f"{path}:{number}", cells)
        if diagnosis.patient_id in diagnoses:
            raise _error(f"{path}:{number}", "one row a patient", f"{diagnosis.patient_id} again")
        diagnoses[diagnosis.patient_id] = diagnosis
    return diagnoses


def _read_rows(path: Path) -> list[Sequence[Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _error(str(path), "the diagnosis table", error.strerror or str(error)) from error
    if path.suffix.lower() != ".csv":
        return _read_sheet(path, data)
    try:
        return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    except (UnicodeDecodeError, csv.Error) as error:
        raise _error(str(path), "a CSV table in UTF-8", str(error)) from error


def _read_sheet(path: Path, data: bytes) -> list[Sequence[Any]]:
    try:
        sheet = xlrd.open_workbook(file_contents=data).sheet_by_index(0)
    except Exception as error:  # xlrd raises nearly anything on a damaged file
        raise _error(str(path), "an .xls or .csv table", str(error)) from error
    return [sheet.row_values(row) for row in range(sheet.nrows)]


def _find_columns(path: Path, header: Sequence[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for index, cell in enumerate(header):
        heading = " ".join(str(cell).lower().split())
        if heading.startswith("tcia "):
            heading = heading[len("tcia ") :]
        for name, beginnings in _HEADINGS.items():
            if heading.startswith(beginnings):
                found.setdefault(name, index)
    missing = [beginnings[0] for name, beginnings in _HEADINGS.items() if name not in found]
    if missing:
        wanted = ", ".join(beginnings[0] for beginnings in _HEADINGS.values())
        raise _error(f"{path}:1", f"columns that begin with {wanted}", f"no {', '.join(missing)}")
    return found


def _cell(row: Sequence[Any], index: int) -> str:
    # Spreadsheets hold numbers as floats: 3.0 is the code 3.
    value = row[index] if index < len(row) else ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _parse_row(where: str, cells: Mapping[str, str]) -> Diagnosis:
    if not cells["patient"]:
        raise _error(where, "a patient ID", "none")
    if cells["code"] not in map(str, CODES):
        raise _error(where, "a diagnosis from 0 to 3", repr(cells["code"]))
    return Diagnosis(cells["patient"], int(cells["code"]), cells["site"])


def _error(where: str, expected: str, found: str) -> LidcError:
    return LidcError(
        where,
        expected=expected,
        found=found,
        fix="give TCIA's tcia-diagnosis-data-2012-04-20.xls or a CSV with its columns",
    )
