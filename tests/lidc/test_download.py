from __future__ import annotations

import io
import os
import sys
import types
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungdx_paddle.commands.download_lidc import fetched_lines
from lungdx_paddle.errors import InstallError, LidcError, OutputError
from lungdx_paddle.lidc import download as module
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.lidc.download import Fetched, download, parse_patients

FIRST = "1.3.6.1.4.1.14519.5.2.1.6279.6001.179049373636438705059720603192"
"""The CT series of LIDC-IDRI-0001."""


class Answer(io.BytesIO):
    """What a web server sends."""

    def __init__(self, body: bytes, length: int | None = None) -> None:
        super().__init__(body)
        self.headers = {"Content-Length": str(len(body) if length is None else length)}


@pytest.fixture
def tcia(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A made-up TCIA: its response by file name, and the ``requests`` that it received."""
    site: dict[str, Any] = {
        "requests": [],
        module.XML_ARCHIVE: b"PK\x03\x04 an archive",
        module.DIAGNOSIS_TABLE: b"\xd0\xcf\x11\xe0 a table",
    }

    def urlopen(request: urllib.request.Request, timeout: float) -> Answer:
        assert timeout > 0 and request.full_url.startswith("https://www.cancerimagingarchive.net/")
        name = request.full_url.rsplit("/", 1)[1]
        site["requests"].append(name)
        body = site[name]
        if isinstance(body, Exception):
            raise body
        return body if isinstance(body, Answer) else Answer(body)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return site


class Client:
    """An ``idc_index.IDCClient`` that writes ``arriving`` slices of each series."""

    calls: list[dict[str, Any]] = []
    arriving = 2

    def __init__(self) -> None:
        uids = list(known_series())
        self.index = {"SeriesInstanceUID": uids, "instanceCount": [2] * len(uids)}

    def download_from_selection(self, **arguments: Any) -> None:
        type(self).calls.append(arguments)
        for uid in arguments["seriesInstanceUID"]:
            folder = Path(arguments["downloadDir"], known_series()[uid].patient_id, "1.2", uid)
            folder.mkdir(parents=True, exist_ok=True)
            for k in range(self.arriving):
                (folder / f"{k}.dcm").touch()


@pytest.fixture
def commons(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """A function that puts an ``idc_index`` in place and returns the list of its calls."""

    def install(arriving: int = 2) -> list[dict[str, Any]]:
        client = type("IDCClient", (Client,), {"calls": [], "arriving": arriving})
        package = types.ModuleType("idc_index")
        package.IDCClient = client
        monkeypatch.setitem(sys.modules, "idc_index", package)
        return client.calls

    return install


def test_a_list_of_patients_is_fetched_series_by_series_with_marks_and_diagnoses(
    tmp_path: Path, tcia: dict[str, Any], commons: Callable[..., Any]
) -> None:
    calls = commons()
    fetched = download(tmp_path, patients="LIDC-IDRI-0001,LIDC-IDRI-0132")
    (call,) = calls
    assert len(call["seriesInstanceUID"]) == fetched.series == 3  # 0132 has two
    assert FIRST in call["seriesInstanceUID"]
    assert call["downloadDir"] == str(tmp_path)
    assert call["use_s5cmd_sync"] is True
    assert call["dirTemplate"] == "%PatientID/%StudyInstanceUID/%SeriesInstanceUID"
    assert tcia["requests"] == [module.XML_ARCHIVE, module.DIAGNOSIS_TABLE]
    assert (tmp_path / module.XML_ARCHIVE).read_bytes() == b"PK\x03\x04 an archive"
    assert (fetched.patients, fetched.xml) == (2, tmp_path / module.XML_ARCHIVE)
    assert "tools/preprocess.py --lidc" in fetched_lines(fetched)[-1]


def test_all_is_every_ct_series_and_none_is_only_the_marks(
    tmp_path: Path, tcia: dict[str, Any], commons: Callable[..., Any]
) -> None:
    calls = commons()
    assert download(tmp_path).series == 0
    assert not calls
    fetched = download(tmp_path, "all")
    assert (fetched.patients, fetched.series) == (1010, 1018)


@pytest.mark.lidc
def test_the_diagnosed_are_the_157_of_the_table(
    tmp_path: Path, lidc_folder: Path, tcia: dict[str, Any], commons: Callable[..., Any]
) -> None:
    tcia[module.DIAGNOSIS_TABLE] = (lidc_folder / module.DIAGNOSIS_TABLE).read_bytes()
    commons()
    fetched = download(tmp_path, "diagnosed")
    assert fetched.patients == 157
    assert fetched.series >= 157


def test_run_again_it_does_not_fetch_what_is_there(
    tmp_path: Path, tcia: dict[str, Any], commons: Callable[..., Any]
) -> None:
    tcia[module.DIAGNOSIS_TABLE] = urllib.error.URLError("Network is unreachable")
    with pytest.raises(LidcError, match=r"diagnosis.*no answer \(Network is unreachable\)"):
        download(tmp_path)
    tcia[module.DIAGNOSIS_TABLE] = b"\xd0\xcf\x11\xe0 a table"
    download(tmp_path)
    download(tmp_path)
    assert tcia["requests"] == [module.XML_ARCHIVE] + [module.DIAGNOSIS_TABLE] * 2


def test_an_incomplete_series_is_reported_and_fetched_by_the_next_run(
    tmp_path: Path, tcia: dict[str, Any], commons: Callable[..., Any]
) -> None:
    commons(arriving=1)
    with pytest.raises(LidcError, match="found 0 of 1, without LIDC-IDRI-0001.*run again"):
        download(tmp_path, patients="LIDC-IDRI-0001")
    commons(arriving=2)
    assert download(tmp_path, patients="LIDC-IDRI-0001").series == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (urllib.error.URLError("Name or service not known"), "no answer.*check the network"),
        (urllib.error.HTTPError("x", 404, "Not Found", None, None), "HTTP 404 Not Found"),
        (TimeoutError("timed out"), "no answer"),
        (b"<html>Sorry</html>", "an error page"),
        (Answer(b"PK\x03\x04 cut", length=900), "8 of 900 bytes"),
    ],
)
def test_where_tcia_does_not_answer_nothing_is_left_behind(
    tmp_path: Path, tcia: dict[str, Any], body: Any, message: str
) -> None:
    tcia[module.XML_ARCHIVE] = body
    with pytest.raises(LidcError, match=message):
        download(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_idc_index_it_says_what_to_install_before_it_fetches_anything(
    tmp_path: Path, tcia: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "idc_index", None)
    with pytest.raises(InstallError, match="pip install idc-index, or fetch only"):
        download(tmp_path, patients="LIDC-IDRI-0001")
    assert not tcia["requests"]


def test_what_idc_index_raises_is_one_clear_error(
    tmp_path: Path, tcia: dict[str, Any], commons: Callable[..., Any], monkeypatch: Any
) -> None:
    commons()

    def full(self: Any, **arguments: Any) -> None:
        raise RuntimeError("no space left")

    monkeypatch.setattr(sys.modules["idc_index"].IDCClient, "download_from_selection", full)
    with pytest.raises(LidcError, match="Imaging Data Commons.*no space left.*run again"):
        download(tmp_path, patients="LIDC-IDRI-0001")


def test_patients_come_from_a_list_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "patients.txt"
    file.write_text("LIDC-IDRI-0002\n\nLIDC-IDRI-0001\nLIDC-IDRI-0002\n", encoding="utf-8")
    assert parse_patients(str(file)) == ["LIDC-IDRI-0002", "LIDC-IDRI-0001"]
    assert parse_patients("LIDC-IDRI-0001, LIDC-IDRI-0003") == ["LIDC-IDRI-0001", "LIDC-IDRI-0003"]
    with pytest.raises(LidcError, match="found LIDC-IDRI-2000"):
        parse_patients("LIDC-IDRI-0001,LIDC-IDRI-2000")
    with pytest.raises(LidcError, match="found gone.txt"):
        parse_patients("gone.txt")


def test_a_list_of_patients_that_is_no_text_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xfc")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 2**36)
    os.mkfifo(tmp_path / "pipe")
    found = {"latin": "not UTF-8", "huge": "more than", "pipe": "a pipe", ".": "Is a directory"}
    for name, why in found.items():
        with pytest.raises(
            LidcError, match=f"ids from LIDC-IDRI-0001.*found {tmp_path}.*: .*{why}"
        ):
            parse_patients(str(tmp_path / name))
    for text in (",".join(["LIDC-IDRI-9999"] * 500), "a\0b"):  # no name that a file can have
        with pytest.raises(LidcError, match="found LIDC-IDRI-9999|found a"):
            parse_patients(text)


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path, tcia: dict[str, Any]) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        download(tmp_path / "file")


def test_the_command_that_is_printed_can_be_copied_where_the_folder_has_a_space() -> None:
    lines = fetched_lines(Fetched(Path("my data"), 1, 1))
    assert "--lidc 'my data' --xml 'my data/LIDC-XML-only.zip'" in lines[-1]
