"""Read the diagnosis table of LIDC-IDRI: code, method and site of 157 patients, and of nodules.

TCIA publishes it as ``tcia-diagnosis-data-2012-04-20.xls``; any table with the same columns will
do (:mod:`lungdx_paddle.tables`).  Columns are found by what their headings say, which run over
many lines, in any order.  Of 137 patients it has codes and methods of one or two nodules too;
which nodules of the scan these are, it does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.diagnosis_columns import HEADINGS, METHOD, OF_NODULE, find_columns
from lungdx_paddle.lidc.sources import SourceFile, list_files
from lungdx_paddle.tables import LARGEST_TABLE_BYTES, Table, TableKind, read_table
from lungdx_paddle.words import count_of, first_few

CODES: Mapping[int, str] = MappingProxyType(
    {
        0: "unknown",
        1: "benign or non-malignant disease",
        2: "malignant, primary lung cancer",
        3: "malignant, metastatic",
    }
)
"""The table's "Diagnosis at the Patient Level", and at the nodule level."""

METHODS: Mapping[int, str] = MappingProxyType(
    {
        0: "unknown",
        1: "review of images that show two years of stable nodule",
        2: "biopsy",
        3: "surgical resection",
        4: "progression or response",
    }
)
"""The table's "Diagnosis Method", of the patient and of a nodule."""

NO_TABLES = (".dcm", ".xml", ".pdf", ".doc", ".docx", ".jpg", ".png")
"""Endings of a file that is no table although "diagnosis" stands in its name."""

_LOOKS = {
    **dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2212), "-"),
    **dict.fromkeys((0x00AD, 0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF)),
}
"""Hyphens and signs without width that Word and web pages put in -> what they look like."""

_AS_TEXT = re.compile(r"""'(.*?)'?|="(.*)\"""")
"""How spreadsheets keep an ID from becoming a number: '0001 and ="0001"."""

_FIX = "give TCIA's tcia-diagnosis-data-2012-04-20.xls or a table with its columns"


@dataclass(frozen=True)
class Diagnosis:
    """One patient's disease."""

    patient_id: str
    """As the table shows it."""
    code: int
    """0 to 3, see :data:`CODES`."""
    primary_site: str
    """Free text of the column "Primary tumor site", stripped; empty if none."""
    method: int | None = None
    """How it was found, see :data:`METHODS`; None: not said."""
    nodule_codes: tuple[int, ...] = ()
    """Diagnosis of each nodule that the row lists, as ``code``; a method alone makes it 0."""
    nodule_methods: tuple[int, ...] = ()
    """How each of these was found, 0 where that is not said; empty: the table has no column."""
    line: int = field(default=0, compare=False)
    """Where it stands in the table, from 1."""

    def __str__(self) -> str:
        text = f"{self.patient_id} {self.code} {self.primary_site}".strip()
        text += "" if self.method is None else f", method {self.method}"
        for what, numbers in (("codes", self.nodule_codes), ("methods", self.nodule_methods)):
            text += f", nodules' {what} {';'.join(map(str, numbers))}" if numbers else ""
        return text

    @property
    def content(self) -> tuple[object, ...]:
        """What two rows of one patient must agree in."""
        site = self.primary_site.lower()
        return self.code, site, self.method, self.nodule_codes, self.nodule_methods


@dataclass(frozen=True)
class DiagnosisTable:
    """The diagnoses of a table, and what is doubtful about it."""

    source: str
    """Name of the file."""
    by_patient: Mapping[str, Diagnosis]
    """In the order of the table."""
    notes: tuple[str, ...] = ()
    """Sentences for the user: rows without a diagnosis, IDs that fit nobody, ..."""

    def of(self, patients: Iterable[str]) -> DiagnosisTable:
        """The same for the patients of a collection, by the IDs that they have there.

        An ID that is no patient's is matched in any case, with other blanks and separators, and
        in short (``1``, ``LIDC-IDRI-1``), if one patient alone fits it.

        Raises:
            LidcError: two IDs fit one patient and their diagnoses differ.
        """
        known = dict.fromkeys(sorted(patients))
        by_key: dict[str, set[str]] = {}
        for patient in known:
            for key in _keys(patient):
                by_key.setdefault(key, set()).add(patient)
        fits = {
            own: {own} if own in known else by_key.get(_keys(own)[0], set())
            for own in self.by_patient
        }
        patient_of = {own: min(fitting) for own, fitting in fits.items() if len(fitting) == 1}
        found: dict[str, Diagnosis] = {}
        for own, patient in patient_of.items():
            found[patient] = _agreed(self.source, self.by_patient[own], found.get(patient))
        guessed = [f"{own} is {patient}" for own, patient in patient_of.items() if own != patient]
        unsure = [own for own, fitting in fits.items() if len(fitting) > 1]
        unknown = [own for own, fitting in fits.items() if not fitting]
        notes = list(self.notes)
        if guessed:
            notes.append(f"{self._ids(guessed)} taken for a patient's: {first_few(guessed)}")
        if unsure:
            notes.append(f"{self._ids(unsure)} left out, as several fit: {first_few(unsure)}")
        if unknown and known:
            whose = f"no patient's here: {first_few(unknown)}"
            whose += "" if found else f" (here they are {first_few(list(known))})"
            notes.append(f"{self._ids(unknown)} {whose}")
        differing = [p for p, own in found.items() if own.code > 1 and 1 in own.nodule_codes]
        if differing:
            whose = count_of(len(differing), "malignant patient")
            notes.append(f"{self.source}: a nodule of {whose} is benign: {first_few(differing)}")
        return replace(self, by_patient=found, notes=tuple(notes))

    def _ids(self, ids: Sequence[str]) -> str:
        many = count_of(len(ids), "ID")
        return f"{self.source}: {many} of {len(self.by_patient)} {'is' if len(ids) == 1 else 'are'}"


def read_diagnoses(source: Path | SourceFile) -> DiagnosisTable:
    """Read a diagnosis table.

    Args:
        source: CSV, TSV, ``.xlsx`` or ``.xls``, as TCIA ships it.

    Raises:
        LidcError: the file cannot be read, lacks a column or has two that fit, or has a row
            with another code than 0 to 3 or of a patient whose earlier row says otherwise.
    """
    file = source if isinstance(source, SourceFile) else SourceFile(Path(source))
    return _diagnoses(str(file), *_read(file))


def find_diagnoses(source: Path) -> DiagnosisTable:
    """The diagnosis table in a folder or zip archive, by its name; an empty one if there is none.

    Of several the first counts.  Notes name the others, and files that look like one and cannot
    be read.

    Raises:
        LidcError: as :func:`read_diagnoses`, if the file has a diagnosis table's columns.
    """
    found: DiagnosisTable | None = None
    notes = []
    for file in filter(is_table, list_files(source)[0]):
        try:
            table, columns = _read(file)
        except LidcError as error:
            notes.append(f"not read as a diagnosis table: {error}")
            continue
        if found is None:
            found = _diagnoses(str(file), table, columns)
        else:
            notes.append(f"{file}: one more diagnosis table, left out; {found.source} counts")
    found = found or DiagnosisTable(str(source), {})
    return replace(found, notes=(*found.notes, *notes))


def is_table(file: SourceFile) -> bool:
    """Whether a file may be a diagnosis table: it is called so, and is nothing else."""
    is_called = file.suffix not in NO_TABLES and "diagnos" in file.name.lower()
    return is_called and not file.is_dicom


def _read(file: SourceFile) -> tuple[Table, Mapping[str, int]]:
    """A table that has the columns, and where they are."""
    table = read_table(str(file), file.read_bytes(LARGEST_TABLE_BYTES + 1), _KIND)
    columns = find_columns(table.header)
    missing = [name for name in HEADINGS if name not in columns]
    twice = [name for name, places in columns.items() if len(places) > 1]
    if missing or twice:
        names = [table.header[i] for i in columns[twice[0]]] if twice and not missing else []
        raise LidcError(
            f"{file}:{table.header_line}",
            expected=f"one column each for {', '.join([*HEADINGS, *twice][:4])}",
            found=" and ".join(f'"{" ".join(name.split())}"' for name in names)
            or f"no {', '.join(missing)}",
            fix=_FIX,
        )
    return table, {name: places[0] for name, places in columns.items()}


def _diagnoses(source: str, table: Table, columns: Mapping[str, int]) -> DiagnosisTable:
    diagnoses: dict[str, Diagnosis] = {}
    without: list[int] = []
    for line, row in table.rows:
        cells = {name: _plain(row[i]) if i < len(row) else "" for name, i in columns.items()}
        patient_id, site = cells["patient ID"], cells["primary tumor site"]
        patient_id = patient_id.removesuffix(".0") if patient_id[:-2].isdecimal() else patient_id
        where = f"{source}:{line}"
        code = _code(where, cells["diagnosis at the patient level"], CODES, "diagnosis")
        if code is None:
            without += [line] if patient_id or site else []
            continue
        if not patient_id:
            raise LidcError(where, expected="a patient ID", found="none", fix=_FIX)
        method = _code(where, cells.get(METHOD, ""), METHODS, METHOD)
        listed = _nodules(where, cells)
        diagnosis = Diagnosis(patient_id, code, site, method, *listed, line)
        diagnoses[patient_id] = _agreed(source, diagnosis, diagnoses.get(patient_id))
    notes = [f"{source}: {note}" for note in table.notes]
    if without:
        lines = first_few([str(line) for line in without])
        notes.append(f"{source}: {count_of(len(without), 'row')} without a code (line {lines})")
    if not diagnoses:
        notes.append(f"{source}: a diagnosis table without diagnoses")
    return DiagnosisTable(source, diagnoses, tuple(notes))


def _nodules(where: str, cells: Mapping[str, str]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Codes and methods of the nodules that a row lists."""
    codes, methods = [], []
    numbers = {name.rpartition(" ")[2] for name in cells if name.startswith(OF_NODULE)}
    for number in sorted(numbers, key=int):
        names = f"{OF_NODULE[0]}{number}", f"{OF_NODULE[1]}{number}"
        code = _code(where, cells.get(names[0], ""), CODES, names[0])
        method = _code(where, cells.get(names[1], ""), METHODS, names[1])
        if code is not None or method is not None:
            codes.append(code or 0)
            methods.append(method or 0)
    has_methods = any(name.startswith(OF_NODULE[1]) for name in cells)
    return tuple(codes), tuple(methods) if has_methods else ()


def _code(where: str, cell: str, known: Mapping[int, str], what: str) -> int | None:
    """The number in a cell; None if it is empty."""
    if cell.lower() in ("", "nan", "na", "n/a", "#n/a", "none", "-"):
        return None
    number = re.fullmatch(r"(\d)(?:[.,]0*)?", cell)  # spreadsheets hold 3 as 3.0
    if not number or int(number[1]) not in known:
        expected = f"a {what} from 0 to {max(known)}"
        raise LidcError(where, expected=expected, found=repr(cell), fix=_FIX)
    return int(number[1])


def _agreed(source: str, new: Diagnosis, old: Diagnosis | None) -> Diagnosis:
    """The first of two rows of a patient, which must say the same."""
    if old and old.content != new.content:
        found = f"'{old}' on line {old.line} and '{new}' on line {new.line}"
        raise LidcError(source, expected="one diagnosis a patient", found=found, fix=_FIX)
    return old or new


def _plain(cell: str) -> str:
    """What a spreadsheet shows of a cell, with one kind of blank and of hyphen."""
    text = " ".join(cell.translate(_LOOKS).split())
    as_text = _AS_TEXT.fullmatch(text)
    return (as_text[1] or as_text[2] or "").strip() if as_text else text


def _keys(patient_id: str) -> tuple[str, ...]:
    """What an ID is known by: whole, and where it ends in a number, by that alone."""
    text = re.sub(r"[\s_-]+", "", _plain(patient_id)).casefold()
    # Not for UIDs: theirs is no number of a patient.
    match = re.fullmatch(r"([^\d.]*)0*(\d+)", text)
    return (f"{match[1]}{match[2]}", match[2]) if match else (text,)


_KIND = TableKind(
    "a diagnosis table",
    lambda cells: len(find_columns(cells)),
    LidcError,
    latin=True,
)
