"""An archive is unpacked as far as it is what it says, and counted while it comes out."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from lungdx_paddle.serving.web.scans import Scans
from lungdx_paddle.serving.web.unpack import DIRECTORY_BYTES


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, data in members:
            made.writestr(name, data)
    return content.getvalue()


def detail(client: TestClient, content: bytes, status: int = 422) -> str:
    response = client.post("/scans", files={"files": content})
    assert response.status_code == status, response.text
    found: str = response.json()["detail"]
    return found


def test_what_unpacks_to_too_much_is_refused_before_it_is_there(
    serve: Callable[..., TestClient],
) -> None:
    client = serve(ratio=10, body_bytes=2**16, unpacked_bytes=2**22)
    zeros = archive(("zeros", bytes(2**23)))
    assert len(zeros) < 2**14
    found = detail(client, zeros)
    assert "up to 10 bytes of a packed one, found more; send one CT" in found
    assert "found more" in detail(client, gzip.compress(bytes(2**23)))
    stored = archive(("a", bytes(2**22)), ("b", bytes(2**10)), method=zipfile.ZIP_STORED)
    assert "up to 4 MiB when unpacked" in detail(client, stored)


def test_a_size_that_an_archive_makes_up_is_not_believed(
    serve: Callable[..., TestClient],
) -> None:
    client = serve(ratio=10, body_bytes=2**16)
    content = archive(("zeros", bytes(2**23)))
    lied = content.replace(struct.pack("<I", 2**23), struct.pack("<I", 100))
    assert lied != content
    assert detail(client, lied).startswith("the upload: expected a zip archive, found a broken one")


def test_an_archive_of_too_many_members_is_refused_without_listing_them(
    serve: Callable[..., TestClient],
) -> None:
    client = serve(files=5)
    assert "up to 5 files" in detail(client, archive(*((str(k), b"x") for k in range(6))), 413)
    long = archive(*((f"{k:060}" * 1000, b"") for k in range(DIRECTORY_BYTES // 60_000 + 1)))
    assert "a list of members of" in detail(client, long)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_give_gigabytes_for_a_read_are_refused(
    client: TestClient, method: int
) -> None:
    found = detail(client, archive(("a", b"x" * 100), method=method))
    assert "packed by Deflate" in found and f"found method {method}" in found


def test_archives_in_archives_encrypted_and_broken_ones_are_refused(client: TestClient) -> None:
    inner = archive(("a", b"x"))
    for nested in (
        archive(("inner.dcm", inner)),
        gzip.compress(inner),
        gzip.compress(gzip.compress(b"x")),
        archive(("a.gz", gzip.compress(gzip.compress(b"x")))),
    ):
        assert "an archive in an archive; unpack it" in detail(client, nested)
    encrypted = bytearray(inner)
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[encrypted.index(mark) + at] |= 1
    assert "an encrypted one" in detail(client, bytes(encrypted))
    for broken in (inner[:-9], inner[:20], b"PK\x03\x04", gzip.compress(bytes(999))[:-9]):
        assert "found a broken one" in detail(client, broken)
    deflated = bytearray(archive(("a", b"abc" * 999)))
    deflated[40:44] = b"\xff\xff\xff\xff"
    assert "found a broken one" in detail(client, bytes(deflated))


def test_what_operating_systems_add_is_left_out_and_gzip_is_unpacked(
    client: TestClient, ct: Path
) -> None:
    files = [(f"CT/{p.name}.gz", gzip.compress(p.read_bytes())) for p in ct.glob("*.dcm")]
    others = [("__MACOSX/._a", b"x"), ("CT/._b", b"x"), ("CT/", b""), ("CT/notes.txt", b"notes")]
    response = client.post("/scans", files={"files": archive(*files, *others)})
    (series,) = response.json()["series"]
    assert series["slices"] == len(files) and series["warnings"] == []


def test_a_full_disk_is_told_and_nothing_is_left(
    serve: Callable[..., TestClient], zipped: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders: list[Path] = []
    opened = Scans.open

    def noted(self: Scans) -> object:
        folders.append(self.folder)
        return opened(self)

    monkeypatch.setattr(Scans, "open", noted)
    client = serve(free_bytes=2**60)
    assert "cannot keep the upload (no space left); try later" in detail(client, zipped, 507)
    assert {path.name for path in folders[0].iterdir()} <= {".lungdx.lock"}
