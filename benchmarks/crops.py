"""A made-up manifest of any size, for what does not depend on what the crops show."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.manifest import ManifestRow, write_manifest

FILES = 1000
"""Crops that differ; a larger manifest has links to each of them."""


def write_crops(folder: Path, rows: int) -> Path:
    """Write ``folder/manifest.csv`` with so many rows, and crops of noise; give its path."""
    random = np.random.default_rng(0)
    names = [f"crops/{k // FILES:04d}/{k % FILES:04d}.jpg" for k in range(rows)]
    for k, name in enumerate(names):
        if k % FILES == 0:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if k < FILES:
            noise = random.integers(0, 256, (32, 32)).astype(np.uint8)
            cv2.imwrite(str(folder / name), cv2.GaussianBlur(noise, (0, 0), 2))
        else:
            os.link(folder / names[k % FILES], folder / name)
    made = [
        ManifestRow(
            image=name,
            patient_id=f"MADE-UP-{k // 10:06d}",
            series_uid=f"1.2.826.0.1.{k // 10}",
            nodule=k % 10 // 5,
            z_mm=1.25 * (k % 5),
            pixel_spacing_mm=0.7,
            scale=1.0,
            window_center=20.0,
            window_width=2040.0,
            readers=4,
            malignancy_ratings=(1 + k % 5, 1 + k % 4, 3, 3),
            diagnosis=1 + k % 3 if k % 5 == 0 else None,
            primary_site="",
            source="phantom",
        )
        for k, name in enumerate(names)
    ]
    write_manifest(folder / "manifest.csv", made)
    return folder / "manifest.csv"
