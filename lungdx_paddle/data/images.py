"""Decode crop files to 8-bit arrays."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import CROP_SIZE, Manifest


def read_images(manifest: Manifest) -> np.ndarray:
    """Decode every crop of a manifest: (rows, 32, 32) uint8.

    Raises:
        ManifestError: as :func:`read_crop`; the message names the file.
    """
    images = np.empty((len(manifest), CROP_SIZE, CROP_SIZE), dtype=np.uint8)
    for image, path in zip(images, manifest.image_paths()):
        image[:] = read_crop(path)
    return images


def read_crop(path: str | Path) -> np.ndarray:
    """Decode one crop: (32, 32) uint8.

    Raises:
        ManifestError: the file is missing, truncated, no picture, or of another size.
    """
    try:
        data, found = np.fromfile(path, dtype=np.uint8), ""
    except OSError as error:
        data, found = np.empty(0, np.uint8), error.strerror or "an unreadable file"
    # OpenCV fills what a truncated JPG lacks with gray and says nothing: look for the end.
    is_jpg = data[:2].tobytes() == b"\xff\xd8"
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if is_jpg and b"\xff\xd9" not in data[-16:].tobytes():
        found = "a JPG that breaks off"
    elif image is None:
        found = found or "a file that is no picture"
    elif image.ndim != 2:
        found = "a colour picture"
    elif image.dtype != np.uint8:
        found = f"{8 * image.itemsize}-bit values"
    elif image.shape != (CROP_SIZE, CROP_SIZE):
        found = f"{image.shape[1]}x{image.shape[0]} pixels"
    if image is None or found:
        raise ManifestError(
            str(path),
            expected=f"a {CROP_SIZE}x{CROP_SIZE} grayscale JPG",
            found=found,
            fix="run tools/preprocess.py again or leave its row out",
        )
    return image
