"""What a model says of crop files and of the rows of a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lungdx_paddle.data.images import read_crop, read_images
from lungdx_paddle.inference.predictor import Predictor
from lungdx_paddle.manifest import read_manifest


def of_crops(predictor: Predictor, paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A finding for each crop file, in their order.

    Every file is read before the first finding, so that a bad one costs no half output.

    Raises:
        ManifestError: a file is missing, truncated, no picture, or not 32x32.
    """
    images = np.stack([read_crop(path) for path in paths])
    for path, finding in zip(paths, predictor.findings(images)):
        yield {"image": path, **finding}


def of_manifest(predictor: Predictor, path: Path) -> Iterator[dict[str, Any]]:
    """A finding for each row of a manifest, in its order.

    Raises:
        ManifestError: the manifest or a crop is bad, or its window is not the model's.
    """
    manifest = read_manifest(path)
    predictor.check_window(manifest)
    findings = predictor.findings(read_images(manifest))
    for row, finding in zip(manifest.rows, findings):
        yield {"image": row.image, "patient_id": row.patient_id, "nodule": row.nodule, **finding}
