"""Decoded crops are kept beside their manifest, and are never those of another day."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Callable, List

import cv2
import numpy as np
import pytest

from lungdx_paddle.data.cache import cache_file, crops_key, load_crops, store_crops
from lungdx_paddle.data.images import read_crop, read_images
from lungdx_paddle.manifest import Manifest, read_manifest, write_manifest

YESTERDAY = -86_400


@pytest.fixture
def manifest(write_crops: Callable[..., Path]) -> Manifest:
    """Crops that were written long enough ago to be settled."""
    read = read_manifest(write_crops())
    for path in read.image_paths():
        age(path)
    return read


def age(path: str) -> None:
    then = os.stat(path).st_mtime + YESTERDAY
    os.utime(path, (then, then))


def cached(manifest: Manifest) -> np.ndarray:
    return read_images(manifest, cache_file(manifest.folder / "manifest.csv"))


def was_decoded(manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether reading, which gives the true pixels, has to decode the crops."""
    decoded: List[str] = []

    def counted(path: str) -> np.ndarray:
        decoded.append(path)
        return read_crop(path)

    monkeypatch.setattr("lungdx_paddle.data.images.read_crop", counted)
    found = cached(manifest)
    monkeypatch.undo()
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


def test_a_crop_that_may_still_change_is_not_kept(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file written twice within a tick of the clock has one and the same time."""
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


def test_a_folder_that_cannot_be_written_to_is_read_all_the_same(
    manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.replace", refuse)
    np.testing.assert_array_equal(cached(manifest), read_images(manifest))
    monkeypatch.undo()
    assert sorted(path.name for path in manifest.folder.iterdir()) == ["crops", "manifest.csv"]


def test_a_collection_that_has_moved_keeps_its_cache(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(manifest)
    shutil.copytree(manifest.folder, tmp_path / "elsewhere")  # with the files' times
    assert not was_decoded(read_manifest(tmp_path / "elsewhere"), monkeypatch)


def test_pixels_come_back_under_their_key_only(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32), np.uint8)
    store_crops(tmp_path / "c", b"a" * 32, pixels)
    found = load_crops(tmp_path / "c", b"a" * 32, 4)
    assert found is not None
    np.testing.assert_array_equal(found, pixels)
    assert load_crops(tmp_path / "c", b"b" * 32, 4) is None
    assert load_crops(tmp_path / "c", b"a" * 32, 5) is None
