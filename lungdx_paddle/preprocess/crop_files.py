"""A crop on disk: its JPG, and its row of the manifest."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from lungdx_paddle.lidc import Diagnosis, Nodule
from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.preprocess.crop import PAPER
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, Window

JPG_QUALITY = 95
"""Of 100.  Crops of LIDC-IDRI-0001 and 0012 are off by 0.3 gray levels on average, 1.4 on the
nodule, and take 0.5 KB."""


@dataclass(frozen=True)
class CropSettings:
    """How crops are cut."""

    rule: str = PAPER
    """One of :data:`~lungdx_paddle.manifest.CROP_RULES`."""
    window: Window | None = DEFAULT_WINDOW
    """(centre, width) in HU of the gray values; None: the source's own, which is the one in each
    series' header, and of the public slices none: each picture stays stretched as it is."""


DEFAULT_CROPS = CropSettings()


@dataclass(frozen=True, eq=False)
class Crop:
    """One nodule on one slice."""

    nodule: Nodule
    sop_uid: str
    """Of the slice, DICOM (0008,0018)."""
    index: int
    """Of the slice in its series, from the caudal end."""
    z_mm: float
    image: np.ndarray
    """(32, 32) uint8."""
    scale: float
    """1.0, or the factor by which the nodule was shrunk."""
    rule: str
    """Which of :data:`~lungdx_paddle.manifest.CROP_RULES` made it."""
    hu_from: str = ""
    """Where its HU come from, as :class:`~lungdx_paddle.manifest.ManifestRow` has it."""
    hops: int | None = None
    """Of a picture of the public slices: how many slices away the nearest real pixels are."""


def crop_row(
    crop: Crop, patient_id: str, series_uid: str, window: Window, source: str
) -> ManifestRow:
    """The manifest's row of a crop; its diagnosis is still unknown.

    Args:
        crop: of a nodule numbered within the series or the patient.
        patient_id: DICOM (0010,0020).
        series_uid: DICOM (0020,000E).
        window: (centre, width) in HU of the gray values.
        source: where the pixels come from: lidc, lidc-slices or phantom.
    """
    nodule, folder = crop.nodule, crop_folder(patient_id, series_uid)
    return ManifestRow(
        image=(folder / f"n{nodule.number:02d}_s{crop.index:03d}.jpg").as_posix(),
        patient_id=patient_id,
        series_uid=series_uid,
        nodule=nodule.number,
        z_mm=crop.z_mm,
        pixel_spacing_mm=nodule.pixel_spacing_mm,
        scale=crop.scale,
        window_center=window[0],
        window_width=window[1],
        readers=nodule.readers_on(crop.sop_uid),
        malignancy_ratings=nodule.malignancy_ratings,
        diagnosis=None,
        primary_site="",
        crop=crop.rule,
        sop_uid=crop.sop_uid,
        source=source,
        hu_from=crop.hu_from,
        extra={} if crop.hops is None else {"hops": str(crop.hops)},
    )


def with_diagnoses(
    rows: Iterable[ManifestRow], diagnoses: Mapping[str, Diagnosis]
) -> Iterator[ManifestRow]:
    """The rows, each with its patient's diagnosis, and the nodules', if there is one."""
    for row in rows:
        found = diagnoses.get(row.patient_id)
        if found is not None:
            row = replace(
                row,
                diagnosis=found.code,
                primary_site=found.primary_site,
                diagnosis_method=found.method,
                nodule_diagnoses=found.nodule_codes,
                nodule_methods=found.nodule_methods,
            )
        yield row


def crop_folder(patient_id: str, series_uid: str) -> Path:
    """Where a series' crops lie, relative to the manifest."""
    return Path("crops", file_name(patient_id), file_name(series_uid))


def encode_jpg(image: np.ndarray) -> bytes:
    """A crop, (32, 32) uint8, as the bytes of its JPG."""
    # imencode and not imwrite, which reports a full disk as a mere False.
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPG_QUALITY])
    return data.tobytes()


def file_name(identifier: str) -> str:
    """A DICOM identifier as the name of a file, a different one for each identifier.

    An identifier may hold anything, ``../`` too, and be of any length.  One that cannot be a
    name as it is gets a digest behind it, lest ``a/b`` and ``a_b`` share their files.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:64]  # the longest that DICOM allows
    if name == identifier and name.strip("."):
        return name
    return f"_{name}-{hashlib.sha256(identifier.encode()).hexdigest()[:8]}"
