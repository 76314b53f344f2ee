"""A collection of scans -> ``manifest.csv``, ``crops/`` and ``report.json``.

One series is one job.  What a finished job leaves on disk (:mod:`.resume`) is all that the
manifest is made of, so that a run which was stopped, or had another number of processes,
ends with the same manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lungdx_paddle.files import writable_folder
from lungdx_paddle.lidc import (
    Annotations,
    Scan,
    Series,
    find_annotations,
    find_diagnoses,
    find_series,
    read_diagnoses,
)
from lungdx_paddle.lidc.diagnosis import is_table
from lungdx_paddle.lidc.scan import first_numbers, no_marks
from lungdx_paddle.lidc.sources import SourceFile
from lungdx_paddle.manifest import ManifestRow, write_manifest
from lungdx_paddle.preprocess.crop_files import DEFAULT_CROPS, CropSettings, with_diagnoses
from lungdx_paddle.preprocess.report import (
    DONE,
    FAILED,
    UNMARKED,
    Report,
    SeriesReport,
    attempt,
    check_crops,
    check_found,
)
from lungdx_paddle.preprocess.resume import (
    FinishedSeries,
    fingerprint,
    load_finished,
    store_finished,
    sync_finished,
)
from lungdx_paddle.preprocess.series import crop_series
from lungdx_paddle.preprocess.source_names import absolute, as_given, named
from lungdx_paddle.preprocess.window import HEADER
from lungdx_paddle.progress import bar
from lungdx_paddle.words import count_of
from lungdx_paddle.workers import run_all


@dataclass(frozen=True, eq=False)
class _Job:
    scan: Scan
    crops: CropSettings
    out: Path


_Result = FinishedSeries | str
"""A finished series, or the reason why it failed."""


def preprocess(
    lidc: Path,
    out: Path,
    *,
    xml: Path | None = None,
    diagnosis: Path | None = None,
    crops: CropSettings = DEFAULT_CROPS,
    pool: Executor | None = None,
) -> Report:
    """Cut the nodules out of every series of a collection.

    Run again, it does only what is missing; a series whose slices, XML, window or rule have
    changed is done anew.  A series that fails costs only itself.  The manifest does not
    depend on the workers nor on how often the work was stopped.

    Args:
        lidc: folder or zip archive of DICOM files in any layout.
        out: folder for ``manifest.csv``, ``crops/``, ``report.json`` and ``series/``.
        xml: folder or zip archive of LIDC XML files; None: they lie beside the DICOM.
        diagnosis: the diagnosis table; None: looked for in ``lidc``.
        crops: how crops are cut.
        pool: processes or a cluster, which read ``lidc`` and write to ``out``; None: this process.

    Raises:
        LidcError: no CT series, no annotations of any of them, not a single crop, or a
            diagnosis table that cannot be read.
        OutputError: ``out`` cannot be written to; what is finished is kept.
    """
    writable_folder(Path(out))
    sources = Path(lidc), xml and Path(xml), diagnosis and Path(diagnosis)
    source, out = absolute(lidc), absolute(out)
    with as_given(*sources):
        series, skipped = find_series(source, pool)
        annotations, skipped_xml = find_annotations(absolute(xml) if xml else source, pool)
    wanted, fix = "DICOM files of CT series", "give the folder of the LIDC-IDRI download"
    check_found(lidc, series, named(skipped, *sources), expected=wanted, fix=fix)
    table = read_diagnoses(Path(diagnosis)) if diagnosis else find_diagnoses(source)
    table = table.of(s.patient_id for s in series)
    marked = [s for s in series if s.series_uid in annotations]
    jobs = [_Job(Scan(s, annotations[s.series_uid]), crops, out) for s in marked]
    results = _run(jobs, pool)
    marks = {*(own.source for own in annotations.values()), *(s.path for s in skipped_xml)}
    no_ct = [s for s in skipped if s.path not in marks and _is_unexpected(s.path)]
    report = Report(
        crop=crops.rule,
        window=crops.window or HEADER,
        series=tuple(_series_report(s, annotations, results) for s in series),
        diagnosed_patients=len(table.by_patient),
        diagnosis_notes=table.notes,
        elsewhere=tuple(sorted(set(annotations) - {s.series_uid for s in series})),
        skipped=tuple(dict.fromkeys((*no_ct, *skipped_xml))),
    )
    report = named(report, *sources)
    report.write(out / "report.json")
    if not marked:
        raise no_marks(lidc, series, annotations, report.skipped)
    check_crops(lidc, report)
    rows = with_diagnoses(_rows(marked, results), table.by_patient)
    write_manifest(out / "manifest.csv", list(rows))
    return report


def _is_unexpected(path: str) -> bool:
    """Whether a file that is no CT is none that lies beside one either."""
    file = SourceFile(Path(path))
    return file.suffix != ".xml" and not is_table(file)


def _run(jobs: Sequence[_Job], pool: Executor | None) -> dict[str, _Result]:
    """The result of each series, by UID; they and their crops are on the disk."""
    results: dict[str, _Result] = {}
    slices = sum(len(job.scan.series.slices) for job in jobs)
    with bar(total=slices, desc="preprocess", unit="slice", disable=not jobs) as done:
        # Two CTs took 1.1 s here, and 2.2 with two processes.
        finished = run_all(pool, partial(attempt, _finish), jobs, here=2)
        for job, result in zip(jobs, finished):
            results[job.scan.series.series_uid] = result
            done.update(len(job.scan.series.slices))
    for job in jobs[:1]:
        sync_finished(job.out)
    return results


def _finish(job: _Job) -> FinishedSeries:
    """Crop one series, unless that was done before and nothing has changed."""
    # A scan of its own: it keeps its nodules and their masks, and jobs wait for each other.
    scan, (rule, window) = replace(job.scan), (job.crops.rule, job.crops.window)
    key = fingerprint(scan, window, rule)
    return load_finished(job.out, scan.series, key) or store_finished(
        job.out, scan.series, crop_series(scan, window, rule), key
    )


def _series_report(
    series: Series, annotations: Mapping[str, Annotations], results: Mapping[str, _Result]
) -> SeriesReport:
    marks, result = annotations.get(series.series_uid), results.get(series.series_uid)
    report = SeriesReport(
        patient_id=series.patient_id,
        series_uid=series.series_uid,
        status=DONE,
        reason="",
        slices=len(series.slices),
        warnings=series.warnings,
    )
    if marks is None or result is None:
        reason = "no LIDC XML file describes this series"
        return replace(report, status=UNMARKED, reason=reason)
    if isinstance(result, str):
        warnings = Scan(series, marks).warnings
        return replace(report, status=FAILED, reason=result, warnings=warnings)
    return replace(
        report,
        reason="" if result.rows else _why_no_crop(series, marks),
        nodules=result.nodules,
        crops=len(result.rows),
        outlines_without_area=result.unenclosed,
        warnings=result.warnings,
        missing_slices=tuple({"sop_uid": uid, "z_mm": z} for uid, z in result.missing.items()),
    )


def _why_no_crop(series: Series, annotations: Annotations) -> str:
    outlined = {contour.sop_uid for contour in annotations.contours}
    absent = outlined - set(series.sop_uids)
    if not outlined:
        return "no reader outlined a nodule"
    if absent:
        return (
            f"{len(absent)} of {count_of(len(outlined), 'outlined slice')} not in the series "
            f"(such as SOP UID {min(absent)})"
        )
    return "no pixel is enclosed by half of a slice's readers"


def _rows(series: Sequence[Series], results: Mapping[str, _Result]) -> Iterator[ManifestRow]:
    """Rows by patient and series, nodules numbered through a patient's series."""
    found = [(s, results[s.series_uid]) for s in series]
    finished = [(s, result) for s, result in found if isinstance(result, FinishedSeries)]
    first = first_numbers((s.patient_id, s.series_uid, result.nodules) for s, result in finished)
    for s, result in finished:
        for row in result.rows:
            yield replace(row, nodule=first[s.series_uid] + row.nodule)
