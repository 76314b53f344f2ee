"""Crops are decoded as they are; damaged, huge and foreign files are named, and cost nothing."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungdx_paddle.data import images
from lungdx_paddle.data.dataset import NoduleDataset
from lungdx_paddle.data.images import LARGEST_CROP_BYTES, read_crop, read_crops
from lungdx_paddle.data.labels import LABEL_SETS
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import read_manifest

ENCODERS = {
    "plain": (".jpg", []),
    "coarse": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 5]),
    "finest": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 100]),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "optimised": (".jpg", [cv2.IMWRITE_JPEG_OPTIMIZE, 1]),
    "restarted": (".jpg", [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]),
    "png": (".png", []),
}


def crop(seed: int = 0) -> np.ndarray:
    """A (32, 32) uint8 picture with much in it."""
    noise = np.random.default_rng(seed).integers(0, 256, (32, 32)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (3, 3), 0)


def encoded(image: np.ndarray, how: str = "plain") -> bytes:
    suffix, options = ENCODERS[how]
    return bytes(cv2.imencode(suffix, image, options)[1].tobytes())


def png(width: int, height: int, bits: int = 8, colour: int = 0) -> bytes:
    """A PNG whose header says this, and nothing else."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    length, checksum = struct.pack(">I", 13), struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + length + chunk + checksum


def data_of(jpg: bytes) -> int:
    """Where the data of a JPG with one scan begin."""
    return jpg.index(b"\xff\xda") + 10


def zeroed(jpg: bytes) -> bytes:
    middle = (data_of(jpg) + len(jpg)) // 2
    return jpg[:middle] + bytes(len(jpg) - 2 - middle) + jpg[-2:]


def left_over(jpg: bytes) -> bytes:
    """Two bytes too many: libjpeg takes them, in silence, for the fill of the last byte."""
    return jpg[:-2] + b"\x15\x2a" + jpg[-2:]


@pytest.mark.parametrize("how", ENCODERS)
def test_a_whole_crop_of_any_encoder_is_read_as_opencv_reads_it(tmp_path: Path, how: str) -> None:
    for seed in range(20):
        content = encoded(crop(seed) // (1 + seed), how)
        (tmp_path / "a").write_bytes(content)
        expected = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(read_crop(tmp_path / "a"), expected)


BAD = {
    "an empty file": b"",
    "a file that is no JPG or PNG": b"no picture",
    "a JPG that breaks off": encoded(crop())[:-30],
    "32x31 pixels": encoded(crop()[:31]),
    "a colour picture": encoded(np.dstack([crop()] * 3)),
    "16-bit values": encoded(crop().astype(np.uint16), "png"),
    f"more than {LARGEST_CROP_BYTES} bytes": encoded(crop()) + bytes(LARGEST_CROP_BYTES),
}
DAMAGED = {
    "second half zeroed": zeroed(encoded(crop())),
    "8 bytes overwritten": encoded(crop())[:400] + b"\xa5" * 8 + encoded(crop())[408:],
    "40 bytes cut out": encoded(crop())[:400] + encoded(crop())[440:],
    "left over": left_over(encoded(crop())),
    "no header": b"\xff\xd8\xff\xd9",
    "a PNG of a long chunk": png(32, 32) + b"\x7f\xff\xff\xffIDAT" + bytes(200),
    "a PNG cut off": encoded(crop(), "png")[:-40],
    "a PNG with zeros": encoded(crop(), "png")[:300] + bytes(9) + encoded(crop(), "png")[309:],
}
COSTLY = {
    "32000x32000 pixels": encoded(crop()).replace(b"\x08\0\x20\0\x20", b"\x08\x7d\0\x7d\0"),
    "30000x30000 pixels": png(30000, 30000),
    "a colour picture": png(32, 32, colour=6),
    "a file that is no JPG or PNG": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 30000 +X 30000\n",
}
FILES = [
    *((content, found) for found, content in (*BAD.items(), *COSTLY.items())),
    *((content, "a damaged (JPG|PNG)") for content in DAMAGED.values()),
]


@pytest.mark.parametrize(("content", "found"), FILES, ids=[*BAD, *COSTLY, *DAMAGED])
def test_a_bad_crop_is_named_among_good_ones(
    write_crops: Callable[..., Path],
    capfd: pytest.CaptureFixture[str],
    content: bytes,
    found: str,
) -> None:
    manifest = read_manifest(write_crops(patients=1))
    manifest.image_paths()[3].write_bytes(content)
    with pytest.raises(ManifestError, match=f"n00_s03.jpg: expected a 32x32.*found {found};"):
        NoduleDataset(manifest, LABEL_SETS["paper6"])
    assert capfd.readouterr().err == ""  # not libjpeg's line, nor OpenCV's


def test_what_is_too_large_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    for found, content in COSTLY.items():
        (tmp_path / "a").write_bytes(content)
        with pytest.raises(ManifestError, match=f"found {found};"):
            read_crop(tmp_path / "a")


def test_a_missing_crop_a_folder_a_pipe_and_a_device_are_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = {
        str(tmp_path / "gone.jpg"): "No such file",
        str(tmp_path): "Is a directory",
        str(tmp_path / "pipe"): "a pipe",
        "/dev/zero": "a pipe, a socket or a device",
    }
    for path, why in found.items():
        with pytest.raises(ManifestError, match=f"{path}: expected .*found {why}"):
            read_crop(path)


def test_libjpeg_is_heard_here() -> None:
    assert images._is_heard()


def test_a_good_crop_is_taken_where_libjpeg_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "_COMPLAINT", images.re.compile(rb"(?!)"))
    images._is_heard.cache_clear()
    (tmp_path / "a").write_bytes(encoded(crop()))
    try:
        assert read_crop(tmp_path / "a").shape == (32, 32)
    finally:
        images._is_heard.cache_clear()


def test_what_others_write_to_the_screen_meanwhile_is_passed_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_write(content: bytes) -> None:
        os.write(2, b"another thread's line\nCorrupt JPEG data: bad Huffman code\n")

    monkeypatch.setattr(images, "_imdecode", and_write)
    (tmp_path / "a").write_bytes(encoded(crop()))
    with pytest.raises(ManifestError):
        read_crop(tmp_path / "a")
    assert set(capfd.readouterr().err.splitlines()) == {"another thread's line"}


def test_threads_read_at_once_and_the_screen_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{k}.jpg" for k in range(50)]
    for k, path in enumerate(paths):
        path.write_bytes(encoded(crop(k)))
    before, found = read_crops(paths), {}

    def read(name: int) -> None:
        found[name] = read_crops(paths)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(np.array_equal(before, other) for other in found.values())
    os.write(2, b"here\n")
    assert capfd.readouterr().err == "here\n"


@pytest.mark.parametrize("closed", ["2", "0, 1, 2"])
def test_crops_are_read_and_damage_noticed_where_stderr_is_closed(
    tmp_path: Path, closed: str
) -> None:
    (tmp_path / "good").write_bytes(encoded(crop()))
    (tmp_path / "bad").write_bytes(zeroed(encoded(crop())))
    code = (
        "import os, sys\n"
        f"for number in ({closed},): os.close(number)\n"
        "from lungdx_paddle.data.images import read_crop\n"
        "from lungdx_paddle.errors import ManifestError\n"
        f"read_crop({str(tmp_path / 'good')!r})\n"
        f"try: read_crop({str(tmp_path / 'bad')!r})\n"
        "except ManifestError: os._exit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
