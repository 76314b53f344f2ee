"""A CT is private while it is open, and gone when it is not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from starlette.exceptions import HTTPException

from lungdx_paddle.serving.web.limits import Limits
from lungdx_paddle.serving.web.scans import Scans, without_paths


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_folders_are_private_and_tokens_long_and_different() -> None:
    scans = Scans(Limits())
    tokens = {scans.open()[0] for _ in range(20)}
    assert len(tokens) == 20 and min(map(len, tokens)) >= 43  # 256 bits
    if os.name == "posix":
        for folder in (scans.folder, *(p for p in scans.folder.iterdir() if p.is_dir())):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    names = {path.name for path in scans.folder.iterdir()}
    assert not names & tokens  # who lists the folder learns none
    scans.close_all()
    assert not scans.folder.exists()


def test_a_ct_is_gone_when_it_is_closed_or_left_alone_or_the_server_ends(
    serve: Callable[..., TestClient], zipped: bytes, temporary: Path
) -> None:
    client = serve(idle_s=0.0)
    (folder,) = temporary.glob("lungdx-serve-*")
    paths = []
    for _ in range(2):
        token = client.post("/scans", files={"files": zipped}).json()["scan"]
        paths.append(f"/scans/{token}")
    assert len([p for p in folder.iterdir() if p.is_dir()]) == 2
    assert client.delete(paths[0]).status_code == 204
    assert len([p for p in folder.iterdir() if p.is_dir()]) == 1
    gone = client.get(f"{paths[0]}/series/0/slices/0.png")
    assert gone.status_code == 404 and "it was closed; send it again" in gone.json()["detail"]
    client.app.app.app.state.service.scans.close_idle()  # type: ignore[attr-defined]
    assert not [p for p in folder.iterdir() if p.is_dir()]
    client.post("/scans", files={"files": zipped})
    client.__exit__(None, None, None)
    assert not folder.exists()
    client.__enter__()


def test_what_cannot_be_read_is_removed_at_once(client: TestClient, temporary: Path) -> None:
    (folder,) = temporary.glob("lungdx-serve-*")
    assert client.post("/scans", files={"files": b"no CT"}).status_code == 422
    assert client.post("/predict", files={"files": b"no CT"}).status_code == 422
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_no_more_cts_than_usual_are_open(serve: Callable[..., TestClient], zipped: bytes) -> None:
    client = serve(scans=2)
    tokens = [client.post("/scans", files={"files": zipped}).json()["scan"] for _ in range(2)]
    refused = client.post("/scans", files={"files": zipped})
    assert refused.status_code == 503 and refused.headers["retry-after"]
    client.delete(f"/scans/{tokens[0]}")
    assert client.post("/scans", files={"files": zipped}).status_code == 201


def test_a_ct_has_no_more_nodules_than_usual() -> None:
    scans = Scans(Limits(findings=2))
    _, scan = scans.open()
    for _ in range(2):
        scan.findings[scan.next_number(Limits(findings=2))] = None  # type: ignore[assignment]
    with pytest.raises(HTTPException, match="up to 2 nodules"):
        scan.next_number(Limits(findings=2))
    del scan.findings[1]
    assert scan.next_number(Limits(findings=2)) == 3  # a number is given once
    scans.close_all()


KILLED = """
import os, sys, tempfile
tempfile.tempdir = sys.argv[1]
from lungdx_paddle.serving.web.limits import Limits
from lungdx_paddle.serving.web.scans import Scans
scans = Scans(Limits())
(scans.open()[1].folder / "file-00001.dcm").write_bytes(b"a patient's")
os._exit(1)
"""


def test_what_a_killed_server_leaves_the_next_one_removes(temporary: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(temporary)], check=False)
    (left,) = temporary.glob("lungdx-serve-*")
    living = Scans(Limits())
    assert left.exists() and living.folder.exists()  # it was made a moment ago
    for folder in (left, living.folder):
        os.utime(folder, times=(time.time() - 60,) * 2)
    other = subprocess.run(
        [sys.executable, "-c", KILLED, str(temporary)], capture_output=True, check=False
    )
    assert other.returncode == 1
    assert not left.exists() and living.folder.exists()
    living.close_all()


def test_a_message_names_files_by_their_number_and_no_path() -> None:
    folder = Path("/srv/tmp/lungdx-serve-0-abc/xyz")
    for text, shown in (
        (f"{folder}/file-00012.dcm: expected 512 x 512", "file 12: expected 512 x 512"),
        (f"{folder}: expected a CT", "the upload: expected a CT"),
        (
            "2 files left out, such as file-00003.dcm: cut off",
            "2 files left out, such as file 3: cut off",
        ),
    ):
        assert without_paths(text, folder) == shown
