"""What is known of each series so far, on disk: a run that was stopped goes on from there.

``series/<series UID>.json`` stands for one finished series.  It is written last, after its
crops, and holds a fingerprint of all that they depend on: a part with another fingerprint
does not count.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungdx_paddle import __version__
from lungdx_paddle.files import write_text, writing
from lungdx_paddle.lidc import Scan, Series
from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.preprocess.series import Crop, SeriesCrops
from lungdx_paddle.preprocess.window import Window

JPG_QUALITY = 95
"""Of 100.  Crops of LIDC-IDRI-0001 and 0012 are off by 0.3 gray levels on average, 1.4 on the
nodule, and take 0.5 KB."""

PHANTOM_PREFIX = "PHANTOM"
"""How the patient ids of our own phantom begin; no LIDC id does."""


@dataclass(frozen=True)
class Part:
    """One finished series."""

    fingerprint: str
    rows: tuple[ManifestRow, ...]
    """Nodules numbered within the series, diagnosis not yet filled in."""
    nodules: int
    missing: dict[str, float]
    """Outlined slices that are not there: SOP instance UID -> z in mm."""
    unenclosed: int
    """Outlines that enclose no pixel."""
    in_lung: float | None
    """Mean part of a crop's nodule that lies in the lung mask; None without crops."""


def fingerprint(scan: Scan, window: Window | None) -> str:
    """A text that changes with anything that a series' crops depend on."""
    readings = [
        (r.reader, r.nodule_id, sorted(r.characteristics.items()))
        + tuple((c.sop_uid, c.z_mm, c.inclusion, c.points_xy.tolist()) for c in r.contours)
        for r in scan.annotations.readings
    ]
    series = scan.series
    geometry = (series.sop_uids, series.z_mm.tolist(), series.spacing_zyx_mm)
    depends_on = (__version__, window, series.patient_id, series.header_window, geometry, readings)
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()[:32]


def load_part(out: Path, series: Series, fingerprint: str) -> Part | None:
    """The part of a series, or None where it is missing, stale, broken or lacks a crop."""
    try:
        record = json.loads(_part_path(out, series).read_text(encoding="utf-8"))
        rows = record.pop("rows")
        part = Part(rows=tuple(_read_row(row) for row in rows), **record)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    complete = all((out / row.image).is_file() for row in part.rows)
    return part if complete and part.fingerprint == fingerprint else None


def has_part(out: Path, series: Series) -> bool:
    """Whether there is a part of this series at all, be it stale."""
    return _part_path(out, series).exists()


def store_part(out: Path, series: Series, crops: SeriesCrops, fingerprint: str) -> Part:
    """Write a series' crops, then its part; what another run left of it goes first.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    folder = Path("crops", file_name(series.patient_id), file_name(series.series_uid))
    in_lung = [crop.in_lung for crop in crops.crops]
    part = Part(
        fingerprint=fingerprint,
        rows=tuple(_row(series, crops, crop, folder) for crop in crops.crops),
        nodules=len(crops.nodules),
        missing=crops.missing,
        unenclosed=crops.unenclosed,
        in_lung=round(sum(in_lung) / len(in_lung), 4) if in_lung else None,
    )
    partial = out / f"{folder}.partial"
    path = _part_path(out, series)
    with writing(out / folder):
        _remove(partial)
        partial.mkdir(parents=True)
        for crop, row in zip(crops.crops, part.rows):
            (partial / Path(row.image).name).write_bytes(encode_jpg(crop.image))
        _remove(out / folder)
        partial.rename(out / folder)
        path.parent.mkdir(exist_ok=True)
    write_text(path, json.dumps(asdict(part), indent=1) + "\n")
    return part


def _part_path(out: Path, series: Series) -> Path:
    return out / "series" / f"{file_name(series.series_uid)}.json"


def file_name(identifier: str) -> str:
    """A DICOM identifier as a file name: it may hold anything, ``../`` too."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", identifier)
    return name if name.strip(".") else f"_{name}"


def _row(series: Series, crops: SeriesCrops, crop: Crop, folder: Path) -> ManifestRow:
    center, width = crops.window
    is_phantom = series.patient_id.startswith(PHANTOM_PREFIX)
    return ManifestRow(
        image=(folder / f"n{crop.nodule.number:02d}_s{crop.index:03d}.jpg").as_posix(),
        patient_id=series.patient_id,
        series_uid=series.series_uid,
        nodule=crop.nodule.number,
        z_mm=float(series.z_mm[crop.index]),
        pixel_spacing_mm=float(series.spacing_zyx_mm[1]),
        scale=crop.scale,
        window_center=center,
        window_width=width,
        readers=crop.readers,
        malignancy_ratings=crop.nodule.malignancy_ratings,
        diagnosis=None,
        primary_site="",
        sop_uid=series.sop_uids[crop.index],
        source="phantom" if is_phantom else "lidc",
    )


def _read_row(record: dict[str, Any]) -> ManifestRow:
    ratings = tuple(record.pop("malignancy_ratings"))
    return ManifestRow(malignancy_ratings=ratings, **record)


def encode_jpg(image: np.ndarray) -> bytes:
    """A crop, (32, 32) uint8, as the bytes of its JPG."""
    # imencode and not imwrite, which reports a full disk as a mere False.
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPG_QUALITY])
    return data.tobytes()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
