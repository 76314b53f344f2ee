"""CT series -> an 8-bit JPG of every slice, with its lung mask and parenchyma, and ``slices.csv``.

The paper converts each DICOM slice to JPG in a viewer and segments the lungs (its Figure 1).
Readers' marks are not needed.  One series is one job.  It fills a folder beside the final one,
which is renamed when all is in it: what has its final name is whole, and a run that was
stopped goes on with the series that are missing.
"""

from __future__ import annotations

import csv
import functools
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from lungdx_paddle import __version__
from lungdx_paddle.disk import sync
from lungdx_paddle.errors import ConfigError, LidcError
from lungdx_paddle.files import new_folder, read_json, writable_folder, write_text, writing
from lungdx_paddle.lidc import Series, Skipped, find_series
from lungdx_paddle.preprocess.lungs.lung_volume import lung_volume
from lungdx_paddle.preprocess.lungs.paper_steps import lung_steps
from lungdx_paddle.preprocess.report import attempt, check_found
from lungdx_paddle.preprocess.resume import file_name
from lungdx_paddle.preprocess.series import header_window
from lungdx_paddle.preprocess.source_names import absolute, as_given, named
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, Window, apply_window
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import run_all

SLICE_JPG_QUALITY = 100
"""Of 100: on LIDC-IDRI-0001 and 0012 no pixel is off by more than 2 gray levels (mean 0.07) and
black stays black to 1 level, at 95 KB a slice.  95 halves the size and is off by up to 9."""

LUNG_MASKS = ("paper", "corrected")
"""How lungs are found: the paper's steps on each slice alone, or the repaired mask of the whole
series (:func:`~lungdx_paddle.preprocess.lungs.lung_volume.lung_volume`), which keeps nodules at
the wall, finds the tips of the lungs and leaves out air under the back."""

RECORD = "series.json"
"""In a series' folder: the fingerprint of what its images depend on, and their rows."""


@dataclass(frozen=True)
class SliceImage:
    """One row of ``slices.csv``; paths are relative to it."""

    image: str
    patient_id: str
    series_uid: str
    sop_uid: str
    """DICOM (0008,0018); with ``#frame`` behind it in multi-frame files."""
    index: int
    """From 0 at the caudal end of the series."""
    z_mm: float
    """Position along the slice normal; for axial slices the z of DICOM (0020,0032)."""
    window_center: float
    window_width: float
    lungs: str
    """The slice with all that is not lung black; empty without lung masks."""
    mask: str
    """PNG of 0 and 255 (lung); empty without lung masks."""
    instance_number: int
    """DICOM (0020,0013); 0 where it is missing."""


@dataclass(frozen=True)
class SeriesImages:
    """Outcome of one series."""

    patient_id: str
    series_uid: str
    slices: int
    failure: str
    """Why there are no images of it; empty if there are."""
    warnings: tuple[str, ...]
    """What is unusual about its slices."""


@dataclass(frozen=True, repr=False)
class SliceImagesReport:
    """Outcome of every series of a collection."""

    series: tuple[SeriesImages, ...]
    """By patient and series UID."""
    skipped: tuple[Skipped, ...]
    """Files that hold no CT slice of a series, with the reason."""

    @property
    def failed(self) -> tuple[SeriesImages, ...]:
        """The series without images."""
        return tuple(s for s in self.series if s.failure)

    @property
    def slices(self) -> int:
        """How many slices have an image."""
        return sum(s.slices for s in self.series if not s.failure)

    def __repr__(self) -> str:
        done = len(self.series) - len(self.failed)
        return f"<SliceImagesReport: {self.slices} slices of {done}/{len(self.series)} series>"


@dataclass(frozen=True, eq=False)
class _Job:
    series: Series
    window: Window | None
    lungs: str | None
    out: Path
    fingerprint: str

    @property
    def folder(self) -> Path:
        """Folder of the series' images, relative to ``out``."""
        return Path("slices", file_name(self.series.patient_id), file_name(self.series.series_uid))


def write_slice_images(
    lidc: Path,
    out: Path,
    *,
    window: Window | None = DEFAULT_WINDOW,
    lungs: str | None = None,
    pool: Executor | None = None,
) -> SliceImagesReport:
    """Write every slice of every CT series as an 8-bit JPG, if wanted with its lung mask.

    ``slices/<patient>/<series UID>/s<index>_z<mm>.jpg``, with ``_lungs.jpg`` and ``_mask.png``
    beside it; ``slices.csv`` with a row a slice (:class:`SliceImage`), ``slices.json`` with this
    report.  Run again, it does only what is missing or has changed.  The bytes do not depend on
    the workers nor on how often the work was stopped.

    Args:
        lidc: folder or zip archive of DICOM files in any layout.
        out: folder for ``slices/``, ``slices.csv`` and ``slices.json``.
        window: (centre, width) in HU, or None for the one in each series' header.
        lungs: one of :data:`LUNG_MASKS`, or None for the slices alone.
        pool: processes or a cluster, which read ``lidc`` and write to ``out``; None: this process.

    Raises:
        LidcError: no CT series, or none that can be read.
        OutputError: ``out`` cannot be written to; finished series are kept.
        ConfigError: there is no such lung mask.
    """
    if lungs not in (None, *LUNG_MASKS):
        raise ConfigError(
            "lungs", expected=" or ".join(LUNG_MASKS), found=str(lungs), fix="choose one"
        )
    writable_folder(Path(out))
    out = absolute(out)
    with as_given(lidc):
        found, skipped = find_series(absolute(lidc), pool)
    skipped = named(skipped, lidc)
    fix = "give the folder or zip archive of a CT"
    check_found(lidc, found, skipped, expected="DICOM files of CT series", fix=fix)
    jobs = [_Job(s, window, lungs, out, _fingerprint(s, window, lungs)) for s in found]
    failures = _run(jobs, out / "slices.csv", pool)
    outcomes = tuple(_outcome(s, failures.get(s.series_uid, "")) for s in found)
    report = SliceImagesReport(named(outcomes, lidc), tuple(skipped))
    write_text(out / "slices.json", json.dumps(asdict(report), indent=1) + "\n")
    if not report.slices:
        raise LidcError(
            str(lidc),
            expected="at least one series that can be read",
            found=f"{len(found)} that cannot, the first because {report.failed[0].failure}",
            fix="slices.json has all reasons",
        )
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [f.name for f in fields(SliceImage)], lineterminator="\n")
    writer.writeheader()
    for job in jobs:
        writer.writerows([] if job.series.series_uid in failures else _rows(job))
    write_text(out / "slices.csv", text.getvalue())
    return report


def _outcome(s: Series, failure: str) -> SeriesImages:
    return SeriesImages(s.patient_id, s.series_uid, len(s.slices), failure, s.warnings)


def _fingerprint(series: Series, window: Window | None, lungs: str | None) -> str:
    """A text that changes with anything that a series' images depend on.

    Of the files that is size and time, as make has it: to resume would else mean to read every
    byte of a collection.
    """
    files = ((s, s.file.path.stat()) for s in series.slices)
    slices = [{**vars(s), "file": (file.st_size, file.st_mtime_ns)} for s, file in files]
    depends_on = (__version__, window, lungs, slices)
    return hashlib.sha256(repr(depends_on).encode()).hexdigest()[:32]


def _run(jobs: Sequence[_Job], table: Path, pool: Executor | None) -> dict[str, str]:
    """Write the series that are not finished; returns {series UID: why it failed}."""
    todo = [job for job in jobs if not _rows(job)]
    if todo:  # images that the table lists may change; it is written again at the end
        with writing(table):
            table.unlink(missing_ok=True)
            sync([table.parent])
    slices = sum(len(job.series.slices) for job in jobs)
    before = slices - sum(len(job.series.slices) for job in todo)
    failures = {}
    write = functools.partial(attempt, _write_series)
    with bar(total=slices, initial=before, desc="slices", unit="slice") as done:
        for job, failure in zip(todo, run_all(pool, write, todo)):
            if failure:
                failures[job.series.series_uid] = failure
            done.update(len(job.series.slices))
    return failures


def _rows(job: _Job) -> list[dict[str, Any]]:
    """The rows of a finished series; none if it is missing, stale, or lacks an image."""
    try:
        record = read_json(job.out / job.folder / RECORD)
        rows: list[dict[str, Any]] = record["rows"]
        paths = [row[key] for row in rows for key in ("image", "lungs", "mask") if row[key]]
        whole = record["fingerprint"] == job.fingerprint
    except (ValueError, TypeError, KeyError):
        return []
    return rows if whole and all((job.out / path).is_file() for path in paths) else []


def _write_series(job: _Job) -> None:
    """Write a series' folder, whole or not at all."""
    with new_folder(job.out / job.folder) as new:
        rows = [asdict(row) for row in _write_slices(job, new)]
        record = {"fingerprint": job.fingerprint, "rows": rows}
        (new / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _write_slices(job: _Job, folder: Path) -> Iterator[SliceImage]:
    """Write each slice's files into ``folder``, caudal to cranial."""
    series = job.series
    window = job.window or header_window(series)
    volume = lung_volume(series) if job.lungs == "corrected" else None
    digits = max(3, len(str(len(series.slices) - 1)))
    for index, (s, z_mm) in enumerate(zip(series.slices, series.z_mm.tolist())):
        hu = series.slice_hu(index)
        gray = apply_window(hu, *window)
        stem = f"s{index:0{digits}d}_z{round(z_mm, 2) + 0.0:.2f}"  # + 0.0: no -0.00
        names = {"image": f"{stem}.jpg"}
        _write_image(folder / names["image"], gray)
        if job.lungs:
            lung = lung_steps(hu)["lung"] if volume is None else volume[index]
            names |= {"lungs": f"{stem}_lungs.jpg", "mask": f"{stem}_mask.png"}
            _write_image(folder / names["lungs"], np.where(lung, gray, 0).astype(np.uint8))
            _write_image(folder / names["mask"], np.where(lung, 255, 0).astype(np.uint8))
        paths = {key: (job.folder / name).as_posix() for key, name in names.items()}
        yield SliceImage(
            image=paths["image"],
            patient_id=series.patient_id,
            series_uid=series.series_uid,
            sop_uid=s.sop_uid,
            index=index,
            z_mm=round(z_mm, 4),
            window_center=window[0],
            window_width=window[1],
            lungs=paths.get("lungs", ""),
            mask=paths.get("mask", ""),
            instance_number=s.instance,
        )


def _write_image(path: Path, gray: np.ndarray) -> None:
    # imencode and not imwrite, which reports a full disk as a mere False.
    options = [cv2.IMWRITE_JPEG_QUALITY, SLICE_JPG_QUALITY] if path.suffix == ".jpg" else []
    _, data = cv2.imencode(path.suffix, gray, options)
    path.write_bytes(data.tobytes())
