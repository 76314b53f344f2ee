"""Decoded crops are kept beside their manifest, and are never those of another day."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from lungdx_paddle.data.cache import cache_file, crops_key, load_crops, store_crops
from lungdx_paddle.data.images import read_crop, read_images
from lungdx_paddle.manifest import Manifest, read_manifest, write_manifest

A_DAY_NS = 86_400 * 10**9


@pytest.fixture
def manifest(write_crops: Callable[..., Path]) -> Manifest:
    return read_manifest(write_crops())


@pytest.fixture(autouse=True)
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """The crops were written long enough ago to be settled."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + A_DAY_NS)
    monkeypatch.setattr("lungdx_paddle.data.cache.time", clock)


def cached(manifest: Manifest) -> np.ndarray:
    return read_images(manifest, cache_file(manifest.folder / "manifest.csv"))


def was_decoded(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether reading, which gives the true pixels, has to decode the crops."""
    decoded: list[str] = []

    def counted(path: str) -> np.ndarray:
        decoded.append(path)
        return read_crop(path)

    with monkeypatch.context() as patch:
        patch.setattr("lungdx_paddle.data.images.read_crop", counted)
        found = cached(manifest)
    np.testing.assert_array_equal(found, read_images(manifest))
    return bool(decoded)


def test_the_second_start_decodes_nothing(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert was_decoded(manifest, monkeypatch)
    assert not was_decoded(manifest, monkeypatch)


def repaint(manifest: Manifest, row: int) -> str:
    path = list(manifest.image_paths())[row]
    cv2.imwrite(path, np.full((32, 32), 77, np.uint8))
    return path


def test_a_crop_that_has_changed_is_noticed(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(manifest)
    repaint(manifest, 3)
    assert was_decoded(manifest, monkeypatch)


def test_a_crop_is_noticed_that_has_the_size_and_time_of_the_one_before(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(manifest)
    before = os.stat(list(manifest.image_paths())[3])
    path = repaint(manifest, 3)
    other = Path(path).read_bytes()
    Path(path).write_bytes(other[:-2].ljust(before.st_size - 2, b"\0") + other[-2:])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert os.stat(path).st_size == before.st_size
    assert was_decoded(manifest, monkeypatch)


def test_a_crop_that_may_still_change_is_not_kept(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written twice within a tick of the clock has one and the same time."""
    monkeypatch.setattr("lungdx_paddle.data.cache.time", time)
    repaint(manifest, 3)
    assert crops_key(manifest) is None
    assert was_decoded(manifest, monkeypatch)
    assert was_decoded(manifest, monkeypatch)


def test_a_manifest_with_other_rows_is_noticed(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(manifest)
    write_manifest(manifest.folder / "manifest.csv", list(manifest.rows)[::-1])
    turned = read_manifest(manifest.folder)
    assert was_decoded(turned, monkeypatch)
    assert not was_decoded(turned, monkeypatch)


@pytest.mark.parametrize("damage", ["cut", "longer", "bit", "empty", "text", "folder"])
def test_a_damaged_cache_is_made_anew(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    cached(manifest)
    path = cache_file(manifest.folder / "manifest.csv")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1 if damage == "bit" else 0
    changed = {"cut": content[:-7], "longer": content + b"x", "empty": b"", "text": b"hello"}
    path.write_bytes(changed.get(damage, content))
    if damage == "folder":
        path.unlink()
        path.mkdir()
    assert was_decoded(manifest, monkeypatch)
    if damage != "folder":  # nothing can be written there, and nobody minds
        assert not was_decoded(manifest, monkeypatch)


@pytest.mark.parametrize("refused", ["pathlib.Path.open", "os.replace"])
def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    def refuse(*args: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(refused, refuse)
        found = cached(manifest)
    np.testing.assert_array_equal(found, read_images(manifest))
    assert sorted(path.name for path in manifest.folder.iterdir()) == ["crops", "manifest.csv"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root writes anywhere")
def test_a_read_only_folder_stays_without_a_cache(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest.folder.chmod(0o555)
    try:
        assert was_decoded(manifest, monkeypatch)
        assert was_decoded(manifest, monkeypatch)
    finally:
        manifest.folder.chmod(0o755)


def test_a_renamed_folder_keeps_its_cache_and_a_copied_one_makes_its_own(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(manifest)
    shutil.copytree(manifest.folder, tmp_path / "copied")  # with the files' times
    manifest.folder.rename(tmp_path / "renamed")
    assert not was_decoded(read_manifest(tmp_path / "renamed"), monkeypatch)
    assert was_decoded(read_manifest(tmp_path / "copied"), monkeypatch)
    assert not was_decoded(read_manifest(tmp_path / "copied"), monkeypatch)


WRITE_AGAIN_AND_AGAIN = """
import sys, numpy as np
from pathlib import Path
from lungdx_paddle.data.cache import store_crops
key, gray = sys.argv[2].encode(), int(sys.argv[3])
for _ in range(200):
    store_crops(Path(sys.argv[1]), key * 32, np.full((500, 32, 32), gray, np.uint8))
"""


def test_two_processes_that_write_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    command = [sys.executable, "-c", WRITE_AGAIN_AND_AGAIN, str(path)]
    writers = [subprocess.Popen([*command, key, gray]) for key, gray in (("a", "1"), ("b", "2"))]
    seen = set()
    while any(writer.poll() is None for writer in writers):
        for key, gray in ((b"a", 1), (b"b", 2)):
            found = load_crops(path, key * 32, 500)
            if found is not None:
                assert (found == gray).all()
                seen.add(gray)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == {1, 2}
    assert [left.name for left in tmp_path.iterdir()] == ["c"]
    whole = [load_crops(path, key * 32, 500) for key in (b"a", b"b")]
    assert sum(found is not None for found in whole) == 1


def test_pixels_come_back_under_their_key_only(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    store_crops(tmp_path / "c", b"a" * 32, pixels)
    found = load_crops(tmp_path / "c", b"a" * 32, 4)
    assert found is not None
    np.testing.assert_array_equal(found, pixels)
    assert load_crops(tmp_path / "c", b"b" * 32, 4) is None
    assert load_crops(tmp_path / "c", b"a" * 32, 5) is None
