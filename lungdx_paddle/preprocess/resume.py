"""Results of each finished series on disk, so that an interrupted run resumes.

``series/<series UID>.json`` stands for one finished series.  It is written after the series'
crops and holds a digest of all that they depend on, and one of the crops themselves, which a power
cut may damage; with other digests it does not count.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle.disk import sync, synced_later
from lungdx_paddle.files import new_folder, read_file, read_json, write_text, writing
from lungdx_paddle.lidc import Scan, Series
from lungdx_paddle.lidc.catalogue import collection_of
from lungdx_paddle.manifest import ManifestRow
from lungdx_paddle.preprocess.crop import CROP_VERSION
from lungdx_paddle.preprocess.crop_files import (
    JPG_QUALITY,
    crop_folder,
    crop_row,
    encode_jpg,
    file_name,
)
from lungdx_paddle.preprocess.series import SeriesCrops
from lungdx_paddle.preprocess.window import Window


@dataclass(frozen=True)
class FinishedSeries:
    """The results of one series whose crops are on disk."""

    fingerprint: str
    crops: str
    """Digest of their files."""
    rows: tuple[ManifestRow, ...]
    """Nodules numbered within the series, diagnosis not yet filled in."""
    nodules: int
    missing: dict[str, float | None]
    """Outlined slices that are not there: SOP instance UID -> z in mm, if known."""
    unenclosed: int
    """Outlines that enclose no pixel."""
    warnings: tuple[str, ...]
    """What is unusual about the series, its marks and its pixels."""


def fingerprint(scan: Scan, window: Window | None, rule: str) -> str:
    """Digest of all that a series' crops and warnings depend on.

    That is the rule, the window, the readers' marks, the geometry, and every byte of the
    files that hold the outlined slices, with their rescale and padding: 2.5 % of a series'
    time.

    Raises:
        LidcError: a file cannot be read.
    """
    series = scan.series
    readings = [(reading.reader, *reading.content) for reading in scan.annotations.readings]
    how = (CROP_VERSION, JPG_QUALITY, rule, window, series.header_window, scan.warnings)
    geometry = (series.sop_uids, series.z_mm.tolist(), series.spacing_zyx_mm)
    digest = hashlib.sha256(repr((how, series.patient_id, geometry, readings)).encode())
    found = {series.index_of(uid) for nodule in scan.nodules for uid in nodule.sop_uids}
    outlined = (series.slices[index].file for index in sorted(i for i in found if i is not None))
    for file in dict.fromkeys(outlined):  # many slices may lie in one file
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]


def load_finished(out: Path, series: Series, fingerprint: str) -> FinishedSeries | None:
    """The stored results of a series; None where they or a crop are missing, stale or damaged."""
    try:
        record = read_json(_path(out, series))
        rows = tuple(map(_row, record["rows"]))
        warnings = tuple(record["warnings"])
        finished = FinishedSeries(**{**record, "rows": rows, "warnings": warnings})
        crops = _digest(read_file(out / row.image) for row in rows)
    except (ValueError, TypeError, KeyError, OSError):
        return None
    return finished if (finished.fingerprint, finished.crops) == (fingerprint, crops) else None


def _row(stored: dict[str, Any]) -> ManifestRow:
    values: dict[str, Any] = {k: tuple(v) if type(v) is list else v for k, v in stored.items()}
    return ManifestRow(**values)


def store_finished(
    out: Path, series: Series, crops: SeriesCrops, fingerprint: str
) -> FinishedSeries:
    """Write a series' crops, then its results.

    Crops of an earlier run are replaced; the manifest, which may list them, goes first.  They are
    not waited for on the disk, but known by their digest.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    patient_id, series_uid = series.patient_id, series.series_uid
    images = [encode_jpg(crop.image) for crop in crops.crops]
    finished = FinishedSeries(
        fingerprint=fingerprint,
        crops=_digest(images),
        rows=tuple(
            crop_row(crop, patient_id, series_uid, crops.window, collection_of(patient_id))
            for crop in crops.crops
        ),
        nodules=len(crops.nodules),
        missing=crops.missing,
        unenclosed=crops.unenclosed,
        warnings=crops.warnings,
    )
    folder = out / crop_folder(patient_id, series_uid)
    with synced_later():
        with new_folder(folder, listed_in=out / "manifest.csv") as new:
            for image, row in zip(images, finished.rows):
                (new / Path(row.image).name).write_bytes(image)
            _path(out, series).parent.mkdir(exist_ok=True)
        write_text(_path(out, series), json.dumps(asdict(finished), indent=1) + "\n")
    return finished


def sync_finished(out: Path) -> None:
    """Wait until the crops and results of all series are on the disk: a tenth of each one's waits.

    Raises:
        OutputError: the disk is full.
    """
    with writing(out):
        for folder in (out / "crops", out / "series"):
            sync(path for path in (folder, *folder.rglob("*")) if path.exists())


def _digest(images: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"".join(images), digest_size=16).hexdigest()


def _path(out: Path, series: Series) -> Path:
    return out / "series" / f"{file_name(series.series_uid)}.json"
