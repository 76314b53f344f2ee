"""Crop files become 8-bit arrays."""

from __future__ import annotations

import contextlib
from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.data.cache import crops_key, load_crops, store_crops
from lungdx_paddle.errors import ManifestError, OutputError
from lungdx_paddle.manifest import CROP_SIZE, Manifest


def read_images(manifest: Manifest, cache: Path | None = None) -> np.ndarray:
    """Decode every crop of a manifest: (rows, 32, 32) uint8.

    Args:
        manifest: the rows whose crops to read.
        cache: file that keeps the pixels for the next time; where it cannot be written, is
            damaged, or a crop has changed since, the crops are decoded as without it.

    Raises:
        ManifestError: a JPG is truncated, no picture at all, or of another size.
    """
    # Of before the crops are read: one that changes meanwhile will not match.
    key = None if cache is None else crops_key(manifest)
    if cache is None or key is None:
        return _decode(manifest)
    images = load_crops(cache, key, len(manifest))
    if images is None:
        images = _decode(manifest)
        with contextlib.suppress(OutputError):
            store_crops(cache, key, images)
    return images


def _decode(manifest: Manifest) -> np.ndarray:
    images = np.empty((len(manifest), CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    for index, path in enumerate(manifest.image_paths()):
        images[index] = read_crop(path)
    return images


def read_crop(path: str) -> np.ndarray:
    """Decode one crop: (32, 32) uint8.

    Raises:
        ManifestError: the file is missing, truncated, no picture, or of another size.
    """
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise _bad_crop(path, error.strerror or "an unreadable file") from None
    # OpenCV fills what a truncated JPG lacks with gray and says nothing: look for the end.
    is_jpg = data[:2].tobytes() == b"\xff\xd8"
    if is_jpg and b"\xff\xd9" not in data[-16:].tobytes():
        raise _bad_crop(path, "a JPG that breaks off")
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise _bad_crop(path, "a file that is no picture")
    if image.ndim != 2 or image.dtype != np.uint8:
        kind = "a colour picture" if image.ndim != 2 else f"{8 * image.itemsize}-bit values"
        raise _bad_crop(path, kind)
    if image.shape != (CROP_SIZE, CROP_SIZE):
        raise _bad_crop(path, f"{image.shape[1]}x{image.shape[0]} pixels")
    return image


def _bad_crop(path: str, found: str) -> ManifestError:
    return ManifestError(
        path,
        expected=f"a {CROP_SIZE}x{CROP_SIZE} grayscale JPG",
        found=found,
        fix="run tools/preprocess.py again or leave its row out",
    )
