"""Fetch a part of LIDC-IDRI: scans from NCI's Imaging Data Commons, marks from TCIA.

Both are public and ask for no account.  The scans come through ``idc-index`` (the extra
``download``), which copies from the commons' buckets; its readers' marks and diagnoses are
files of the collection's page at The Cancer Imaging Archive (doi
10.7937/K9/TCIA.2015.LO9QL9SX).
"""

from __future__ import annotations

import http.client
import importlib
import os
import re
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lungdx_paddle import __version__
from lungdx_paddle.errors import InstallError, LidcError
from lungdx_paddle.extras import install_hint
from lungdx_paddle.files import UnreadableError, read_text, writable_folder, write_together
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.diagnosis import read_diagnoses
from lungdx_paddle.workbooks import XLS_START, XLSX_START

XML_ARCHIVE, DIAGNOSIS_TABLE = "LIDC-XML-only.zip", "tcia-diagnosis-data-2012-04-20.xls"

TCIA_FOLDER = "https://www.cancerimagingarchive.net/wp-content/uploads/"
"""Where TCIA's page of the collection links to for both files."""

_FIRST_BYTES = {XML_ARCHIVE: XLSX_START, DIAGNOSIS_TABLE: XLS_START}
"""A zip archive and an Excel 97 file: an error page begins otherwise."""

LARGEST_FILE_BYTES = 2**28
"""Nearly 30 times the XML archive's 9 MB."""

TIMEOUT_S = 60
"""Without a byte for so long, the network counts as gone."""

LAYOUT = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
"""TCIA's own; in idc-index's words."""

ALL, DIAGNOSED = "all", "diagnosed"
"""Choices of patients: all 1010 (125 GB), or the 157 of the diagnosis table."""

_commons_error = partial(
    LidcError,
    "Imaging Data Commons",
    "all series of the patients",
    fix="check network and disk and run again: it fetches what is missing",
)


@dataclass(frozen=True)
class Fetched:
    """What was fetched, or was there already."""

    folder: Path
    patients: int
    series: int
    """CT series, whole; 0 if only marks and diagnoses were fetched."""

    @property
    def xml(self) -> Path:
        """The readers' marks."""
        return self.folder / XML_ARCHIVE

    @property
    def diagnosis(self) -> Path:
        """The diagnosis table."""
        return self.folder / DIAGNOSIS_TABLE


def download(out: Path, patients: str = "") -> Fetched:
    """Fetch the readers' marks, the diagnosis table, and the scans of some patients.

    Run again, it fetches only what is missing.

    Args:
        out: folder to write to; one folder a patient, as TCIA lays them out.
        patients: :data:`ALL`, :data:`DIAGNOSED`, ids joined by commas, or the path of a file
            with one a line; empty: no scans.

    Raises:
        InstallError: scans are wanted and ``idc-index`` is not installed.
        LidcError: an id that is not LIDC-IDRI's, no network, or a series that did not
            arrive whole.
        OutputError: ``out`` cannot be written to.
    """
    wanted = set() if patients in ("", ALL, DIAGNOSED) else set(parse_patients(patients))
    client = _idc_client() if patients else None
    fetched = Fetched(writable_folder(Path(out)), 0, 0)
    for path in (fetched.xml, fetched.diagnosis):
        if not path.is_file():
            write_together({path: _fetch(TCIA_FOLDER + path.name, _FIRST_BYTES[path.name])})
    if patients == DIAGNOSED:
        wanted = set(read_diagnoses(fetched.diagnosis).by_patient)
    chosen = {
        uid: facts.patient_id
        for uid, facts in known_series().items()
        if patients == ALL or facts.patient_id in wanted
    }
    if client is not None:
        _fetch_scans(client, fetched.folder, list(chosen))
    return replace(fetched, patients=len(set(chosen.values())), series=len(chosen))


def parse_patients(text: str) -> list[str]:
    """Patient ids of a list joined by commas, or of a file with one a line.

    Raises:
        LidcError: the file cannot be read, is empty, or holds an id that is not LIDC-IDRI's.
    """
    known = {facts.patient_id for facts in known_series().values()}
    found = ""
    # os.path.exists: a list that is too long for a name is no file, and no OSError.
    if not set(re.split(r"[,\s]+", text)) & known and os.path.exists(text):
        try:
            text = read_text(text)
        except UnreadableError as error:
            found = f"{text}: {error}"
    patients = list(dict.fromkeys(re.findall(r"[^,\s]+", text)))
    unknown = [name for name in patients if name not in known]
    if found or unknown or not patients:
        raise LidcError(
            "patients",
            expected="ids from LIDC-IDRI-0001 to LIDC-IDRI-1012, by commas or in a file",
            found=found or ", ".join(unknown[:3]) or "none",
            fix="correct the list",
        )
    return patients


def _idc_client() -> Any:
    try:
        module = importlib.import_module("idc_index")
    except ImportError as error:
        raise InstallError(
            "the scans",
            expected="the package idc-index",
            found=f"none ({error})",
            fix=f"{install_hint('download')}, or fetch only --annotations",
        ) from error
    try:
        return module.IDCClient()
    except Exception as error:  # pandas, parquet and s5cmd may raise anything
        raise _commons_error(f"{type(error).__name__}: {error}") from error


def _fetch_scans(client: Any, out: Path, series: Sequence[str]) -> None:
    try:
        client.download_from_selection(
            downloadDir=str(out),
            seriesInstanceUID=list(series),
            dirTemplate=LAYOUT,
            use_s5cmd_sync=True,  # what is there already is not fetched again
        )
    except Exception as error:  # pandas, DuckDB, s5cmd and the disk may raise anything
        raise _commons_error(f"{type(error).__name__}: {error}") from error
    # Where the network goes, idc-index only logs it: what arrived has to be counted.
    slices = dict(zip(client.index["SeriesInstanceUID"], client.index["instanceCount"]))
    arrived = Counter(path.parent.name for path in out.glob("*/*/*/*.dcm"))
    partial = [uid for uid in series if arrived[uid] < int(slices.get(uid, 1))]
    if partial:
        first = f"{known_series()[partial[0]].patient_id}, series {partial[0]}"
        raise _commons_error(f"{len(series) - len(partial)} of {len(series)}, without {first}")


def _fetch(address: str, first_bytes: bytes) -> bytes:
    sender = {"User-Agent": f"lungdx_paddle/{__version__}"}  # without one the site may refuse
    request = urllib.request.Request(address, headers=sender)
    found = ""
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(LARGEST_FILE_BYTES)
            length = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        found = f"HTTP {error.code} {error.reason}"
    except (OSError, http.client.HTTPException) as error:
        found = f"no answer ({getattr(error, 'reason', error)})"
    else:
        if length is not None and len(data) != int(length):
            found = f"{len(data)} of {length} bytes"
        elif not data.startswith(first_bytes):
            found = "something else, such as an error page"
    if found:
        raise LidcError(
            address,
            expected="the file",
            found=found,
            fix="check the network and run again, or save it by hand in the folder of --out",
        )
    return data
