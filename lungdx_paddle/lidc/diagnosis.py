"""Read the diagnosis table of LIDC-IDRI: 157 patients, a code and a site each.

TCIA publishes it as ``tcia-diagnosis-data-2012-04-20.xls``; a CSV with the same columns
will do.  Columns are found by how their headings begin, since those run over many lines.
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

HEADINGS = {
    "patient_id": ("patient id", "patient_id"),
    "code": ("diagnosis at the patient level", "diagnosis"),
    "primary_site": ("primary tumor site", "primary_site"),
}
"""How the heading of each column begins, after any "TCIA", in lower case."""


@dataclass(frozen=True)
class Diagnosis:
    """One patient's disease."""

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
            than 0 to 3 or with a patient who is in an earlier row.
    """
    path = Path(path)
    header, *rows = _read_rows(path) or [[]]
    columns = _find_columns(path, header)
    diagnoses: dict[str, Diagnosis] = {}
    for number, row in enumerate(rows, start=2):
        where = f"{path}:{number}"
        cells = {name: row[index] if index < len(row) else "" for name, index in columns.items()}
        # Spreadsheets hold numbers as floats: 3.0 is the code 3.
        whole = {
            k: int(v) if isinstance(v, float) and v.is_integer() else v for k, v in cells.items()
        }
        patient_id, code, site = (str(whole[name]).strip() for name in HEADINGS)
        if not (patient_id or code or site):  # spreadsheets end in empty rows
            continue
        if not patient_id:
            raise _error(where, "a patient ID", "none")
        if code not in map(str, CODES):
            raise _error(where, "a diagnosis from 0 to 3", repr(code))
        if patient_id in diagnoses:
            raise _error(where, "one row a patient", f"{patient_id} again")
        diagnoses[patient_id] = Diagnosis(patient_id, int(code), site)
    return diagnoses


def _read_rows(path: Path) -> list[Sequence[Any]]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _error(str(path), "the diagnosis table", error.strerror or str(error)) from error
    if path.suffix.lower() == ".csv":
        try:
            return list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        except (UnicodeDecodeError, csv.Error) as error:
            raise _error(str(path), "a CSV table in UTF-8", str(error)) from error
    try:
        sheet = xlrd.open_workbook(file_contents=data).sheet_by_index(0)
        return [sheet.row_values(row) for row in range(sheet.nrows)]
    except Exception as error:  # xlrd raises nearly anything on a damaged file
        raise _error(str(path), "an .xls or .csv table", str(error)) from error


def _find_columns(path: Path, header: Sequence[Any]) -> dict[str, int]:
    headings = [" ".join(str(cell).lower().split()).removeprefix("tcia ") for cell in header]
    found: dict[str, int] = {}
    for name, beginnings in HEADINGS.items():
        for beginning in beginnings:  # the longest first: "diagnosis" begins other columns too
            places = [i for i, heading in enumerate(headings) if heading.startswith(beginning)]
            if places and name not in found:
                found[name] = places[0]
    missing = [beginnings[0] for name, beginnings in HEADINGS.items() if name not in found]
    if missing:
        wanted = ", ".join(beginnings[0] for beginnings in HEADINGS.values())
        raise _error(f"{path}:1", f"columns that begin with {wanted}", f"no {', '.join(missing)}")
    return found


def _error(where: str, expected: str, found: str) -> LidcError:
    return LidcError(
        where,
        expected=expected,
        found=found,
        fix="give TCIA's tcia-diagnosis-data-2012-04-20.xls or a CSV with its columns",
    )
