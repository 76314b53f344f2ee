"""What a client sends is taken as it is meant, or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

BODY = (
    b'--x\r\ncontent-disposition: form-data; name="files"; filename="a.dcm"\r\n\r\nabc\r\n--x--\r\n'
)
FORM = {"content-type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"content-type": "application/json"}, 415),
        (BODY, {"content-type": "multipart/form-data"}, 415),
        (b"", {}, 415),
        (b"", FORM, 400),
        (BODY[:-9], FORM, 400),
        (BODY.replace(b"--x\r\n", b"--y\r\n"), FORM, 400),
        (BODY, {"content-type": "multipart/form-data; boundary=" + "x" * 999}, 400),
    ],
)
def test_a_body_that_is_no_form_with_files_is_refused(
    client: TestClient, content: bytes, headers: dict[str, str], status: int
) -> None:
    for path in ("/predict", "/scans"):
        response = client.post(path, content=content, headers=headers)
        assert response.status_code == status
        assert response.json()["detail"].startswith("expected a ")


def test_a_form_without_a_file_or_with_nothing_in_it_has_nothing_to_predict(
    client: TestClient,
) -> None:
    for files in ({"files": b""}, {"series-uid": (None, "1.2")}):
        response = client.post("/predict", files=files, data={"nodule": "1,1,1"})
        assert response.status_code == 422
        assert response.json()["detail"].startswith("the upload: expected the slices of a CT")


def test_more_files_or_longer_fields_than_usual_are_refused(
    serve: Callable[..., TestClient],
) -> None:
    client = serve(files=3)
    few = [("files", b"x")] * 3
    assert client.post("/scans", files=few).status_code == 422
    refused = client.post("/scans", files=[*few, ("files", b"x")])
    assert refused.status_code == 413 and "up to 3 files" in refused.json()["detail"]
    refused = client.post("/predict", files=few, data={"nodule": "1" * 5000})
    assert refused.status_code == 413 and "bytes of fields" in refused.json()["detail"]


def test_many_files_of_a_ct_are_taken_as_their_archive_is(
    client: TestClient, ct: Path, zipped: bytes
) -> None:
    alone = [("files", (path.name, path.read_bytes())) for path in ct.glob("*.dcm")]
    one, other = (client.post("/scans", files=f).json() for f in (alone, {"files": zipped}))
    assert one["series"] == other["series"] and one["scan"] != other["scan"]


def test_the_name_of_a_file_leads_nowhere(
    client: TestClient, ct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["../../up.dcm", "/abs.dcm", "..\\win.dcm", "nul\0.dcm", "", ".", "a" * 500]
    contents = [path.read_bytes() for path in sorted(ct.glob("*.dcm"))]
    files = [("files", (name or "x", content)) for name, content in zip(names, contents)]
    assert client.post("/scans", files=files).json()["series"][0]["slices"] == len(names)
    assert not list(tmp_path.rglob("*"))
