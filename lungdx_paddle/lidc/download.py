"""Fetch a part of LIDC-IDRI: scans from NCI's Imaging Data Commons, marks from TCIA.

Both are public and ask for no account.  The scans come through ``idc-index`` (the extra
``download``), which copies from the commons' buckets; its readers' marks and diagnoses are
files of the collection's page at The Cancer Imaging Archive (doi
10.7937/K9/TCIA.2015.LO9QL9SX).
"""

from __future__ import annotations

import http.client
import importlib
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle import __version__
from lungdx_paddle.errors import ConfigError, InstallError, LidcError
from lungdx_paddle.files import writable_folder, write_together
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.diagnosis import read_diagnoses

XML_ARCHIVE, DIAGNOSIS_TABLE = "LIDC-XML-only.zip", "tcia-diagnosis-data-2012-04-20.xls"

TCIA_FOLDER = "https://www.cancerimagingarchive.net/wp-content/uploads/"
"""Where TCIA's page of the collection links to for both files."""

_FIRST_BYTES = {XML_ARCHIVE: b"PK\x03\x04", DIAGNOSIS_TABLE: b"\xd0\xcf\x11\xe0"}
"""A zip archive and an Excel 97 file: an error page begins otherwise."""

LARGEST_FILE_BYTES = 2**28
"""Nearly 30 times the XML archive's 9 MB."""

TIMEOUT_S = 60
"""Without a byte for so long, the network counts as gone."""

LAYOUT = "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
"""TCIA's own; in idc-index's words."""


@dataclass(frozen=True)
class Fetched:
    """What lies in the folder now."""

    folder: Path
    patients: int
    series: int
    """CT series, whole."""

    def summary(self) -> list[str]:
        """The closing lines, with the command that comes next."""
        marks = f"{self.folder / XML_ARCHIVE} and {self.folder / DIAGNOSIS_TABLE}"
        if not self.series:
            return [marks]
        return [
            f"{self.series} CT series of {self.patients} patients in {self.folder}, {marks}",
            f"next: python tools/preprocess.py --lidc {self.folder} "
            f"--xml {self.folder / XML_ARCHIVE} --out crops",
        ]


def download(
    out: Path, *, all_patients: bool = False, diagnosed: bool = False, patients: str = ""
) -> Fetched:
    """Fetch the readers' marks, the diagnosis table, and the scans of some patients.

    Run again, it fetches only what is missing.

    Args:
        out: folder to write to; one folder a patient, as TCIA lays them out.
        all_patients: of all 1010, 125 GB.
        diagnosed: of the 157 in the diagnosis table.
        patients: of these: ids joined by commas, or the path of a file with one a line.
            With none of the three the scans are left out.

    Raises:
        InstallError: scans are wanted and ``idc-index`` is not installed.
        ConfigError: more than one choice of patients.
        LidcError: an id that is not LIDC-IDRI's, no network, or a series that did not
            arrive whole.
        OutputError: ``out`` cannot be written to.
    """
    if sum((all_patients, diagnosed, bool(patients))) > 1:
        raise _choice_error()
    wanted = parse_patients(patients) if patients else []
    client = _idc_client() if all_patients or diagnosed or patients else None
    out = writable_folder(Path(out))
    for name in (XML_ARCHIVE, DIAGNOSIS_TABLE):
        if not (out / name).is_file():
            write_together({out / name: _fetch(TCIA_FOLDER + name, _FIRST_BYTES[name])})
    if all_patients:
        wanted = sorted({facts.patient_id for facts in known_series().values()})
    elif diagnosed:
        wanted = sorted(read_diagnoses(out / DIAGNOSIS_TABLE))
    series = _series_of(wanted)
    if client is not None:
        _fetch_scans(client, out, series)
    return Fetched(out, len(wanted), len(series))


def parse_patients(text: str) -> list[str]:
    """Patient ids of a list joined by commas, or of a file with one a line.

    Raises:
        LidcError: the file cannot be read, is empty, or holds an id that is not LIDC-IDRI's.
    """
    known = {facts.patient_id for facts in known_series().values()}
    if not set(re.split(r"[,\s]+", text)) & known and Path(text).exists():
        try:
            text = Path(text).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise _patients_error(str(error)) from error
    patients = list(dict.fromkeys(re.findall(r"[^,\s]+", text)))
    strangers = [name for name in patients if name not in known]
    if strangers or not patients:
        raise _patients_error(", ".join(strangers[:3]) if strangers else "none")
    return patients


def _series_of(patients: Sequence[str]) -> list[str]:
    wanted = set(patients)
    return [uid for uid, facts in known_series().items() if facts.patient_id in wanted]


def _idc_client() -> Any:
    try:
        module = importlib.import_module("idc_index")
    except ImportError as error:
        raise InstallError(
            "the scans",
            expected="the package idc-index",
            found=f"none ({error})",
            fix="pip install -e '.[download]', or fetch only --annotations",
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
    index = client.index
    slices = dict(zip(index["SeriesInstanceUID"], index["instanceCount"]))
    arrived = _count_slices(out)
    partial = [uid for uid in series if arrived.get(uid, 0) < int(slices.get(uid, 1))]
    if partial:
        first = f"{known_series()[partial[0]].patient_id}, series {partial[0]}"
        raise _commons_error(f"{len(series) - len(partial)} of {len(series)}, without {first}")


def _count_slices(out: Path) -> dict[str, int]:
    """DICOM files by series UID, which is the name of their folder."""
    slices: dict[str, int] = {}
    for path in out.glob("*/*/*/*.dcm"):
        slices[path.parent.name] = slices.get(path.parent.name, 0) + 1
    return slices


def _fetch(address: str, first_bytes: bytes) -> bytes:
    sender = {"User-Agent": f"lungdx_paddle/{__version__}"}  # without one the site may refuse
    request = urllib.request.Request(address, headers=sender)
    found: str | None = None
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
    if found is not None:
        raise LidcError(
            address,
            expected="the file",
            found=found,
            fix="check the network and run again, or save it by hand in the folder of --out",
        )
    return data


def _choice_error() -> ConfigError:
    return ConfigError(
        "patients",
        expected="one choice of them",
        found="several",
        fix="choose all, the diagnosed or a list",
    )


def _patients_error(found: str) -> LidcError:
    return LidcError(
        "patients",
        expected="ids from LIDC-IDRI-0001 to LIDC-IDRI-1012, by commas or in a file",
        found=found,
        fix="correct the list",
    )


def _commons_error(found: str) -> LidcError:
    return LidcError(
        "Imaging Data Commons",
        expected="all series that were asked for",
        found=found,
        fix="check network and disk and run again: it fetches what is missing",
    )
