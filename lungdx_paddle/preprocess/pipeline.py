"""A collection of scans -> ``manifest.csv``, ``crops/`` and ``report.json``.

One series is one job.  What a finished job leaves on disk (:mod:`.parts`) is all that the
manifest is made of, so that a run which was stopped, or had another number of processes,
ends with the same manifest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lungdx_paddle.errors import LidcError, LungdxError
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.lidc import (
    Diagnosis,
    Scan,
    Series,
    Skipped,
    find_annotations,
    find_series,
    read_diagnoses,
)
from lungdx_paddle.lidc.sources import list_files
from lungdx_paddle.manifest import ManifestRow, write_manifest
from lungdx_paddle.preprocess.report import DONE, FAILED, UNMARKED, Report, SeriesReport
from lungdx_paddle.preprocess.resume import Part, fingerprint, has_part, load_part, store_part
from lungdx_paddle.preprocess.series import crop_series
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, Window
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import HERE, Workers

TABLE_SUFFIXES = (".xls", ".csv")
"""Endings of a diagnosis table."""


@dataclass(frozen=True, eq=False)
class _Job:
    scan: Scan
    window: Window | None
    fingerprint: str
    out: Path

    @property
    def series(self) -> Series:
        return self.scan.series


_Result = Part | str
"""A finished series, or the reason why it failed."""


def preprocess(
    lidc: Path,
    out: Path,
    *,
    xml: Path | None = None,
    diagnosis: Path | None = None,
    window: Window | None = DEFAULT_WINDOW,
    workers: Workers = HERE,
) -> Report:
    """Cut the nodules out of every series of a collection.

    Run again, it does only what is missing; a series whose slices, XML or window have
    changed is done anew.  A series that fails costs only itself.  The manifest does not
    depend on the workers nor on how often the work was stopped.

    Args:
        lidc: folder or zip archive of DICOM files in any layout.
        out: folder for ``manifest.csv``, ``crops/``, ``report.json`` and ``series/``.
        xml: folder or zip archive of LIDC XML files; None: they lie beside the DICOM.
        diagnosis: the diagnosis table; None: looked for in ``lidc``.
        window: (centre, width) in HU, or None for the one in each series' header.
        workers: who does it; on a cluster they read ``lidc`` and write to ``out`` themselves.

    Raises:
        LidcError: no CT series, no annotations of any of them, every one failed, or a
            diagnosis table that cannot be read.
        OutputError: ``out`` cannot be written to; what is finished is kept.
        ConfigError: there are no such workers.
    """
    # Workers elsewhere know another current folder.
    lidc, out = Path(lidc).resolve(), writable_folder(Path(out).resolve())
    workers.check([lidc, out])
    series, skipped = find_series(lidc, workers)
    _check_some_found(lidc, series, skipped)
    annotations, skipped_xml = find_annotations(lidc if xml is None else Path(xml))
    table = Path(diagnosis) if diagnosis else _find_table(lidc)
    diagnoses = read_diagnoses(table) if table else {}
    work = [
        _job(Scan(s, annotations[s.series_uid]), window, out)
        for s in series
        if s.series_uid in annotations
    ]
    results = _run(work, out, workers)
    report = Report(
        window=window,
        series=tuple(_series_report(s, results.get(s.series_uid)) for s in series),
        diagnosed_patients=len({s.patient_id for s in series} & set(diagnoses)),
        annotated_elsewhere=len(set(annotations) - {s.series_uid for s in series}),
        skipped=(*_unexpected(skipped, table), *skipped_xml),
    )
    report.write(out / "report.json")
    _check_some_done(lidc, report)
    write_manifest(out / "manifest.csv", list(_rows(series, results, diagnoses)))
    return report


def _job(scan: Scan, window: Window | None, out: Path) -> _Job:
    return _Job(scan, window, fingerprint(scan, window), out)


def _run(work: Sequence[_Job], out: Path, workers: Workers) -> dict[str, _Result]:
    """Finish every series; what was finished before is not done again."""
    parts = {job.series.series_uid: load_part(out, job.series, job.fingerprint) for job in work}
    results: dict[str, _Result] = {uid: part for uid, part in parts.items() if part is not None}
    todo = [job for job in work if job.series.series_uid not in results]
    if any(has_part(out, job.series) for job in todo):
        # Crops that the manifest lists are about to change; it is written again at the end.
        with writing(out / "manifest.csv"):
            (out / "manifest.csv").unlink(missing_ok=True)
    slices = {job.series.series_uid: len(job.series.slices) for job in work}
    before = sum(slices[uid] for uid in results)
    with bar(total=sum(slices.values()), initial=before, desc="preprocess", unit="slice") as done:
        for job, result in zip(todo, workers.map(_process, todo)):
            results[job.series.series_uid] = result
            done.update(len(job.series.slices))
    return results


def _process(job: _Job) -> _Result:
    try:
        # A scan of its own: it keeps its nodules and their masks, and jobs wait for each other.
        crops = crop_series(replace(job.scan), job.window)
    except LungdxError as error:
        return str(error)
    except Exception as error:  # whatever is wrong with one series must not cost the others
        return f"{type(error).__name__}: {error}"
    return store_part(job.out, job.series, crops, job.fingerprint)


def _series_report(series: Series, result: _Result | None) -> SeriesReport:
    status, reason = DONE, ""
    if result is None:
        status, reason = UNMARKED, "no LIDC XML file describes this series"
    elif isinstance(result, str):
        status, reason = FAILED, result
    report = SeriesReport(
        patient_id=series.patient_id,
        series_uid=series.series_uid,
        status=status,
        reason=reason,
        slices=len(series.slices),
        warnings=series.warnings,
    )
    if not isinstance(result, Part):
        return report
    return replace(
        report,
        nodules=result.nodules,
        crops=len(result.rows),
        crops_in_lung=result.in_lung,
        outlines_without_area=result.unenclosed,
        missing_slices=tuple({"sop_uid": uid, "z_mm": z} for uid, z in result.missing.items()),
    )


def _rows(
    series: Sequence[Series], results: dict[str, _Result], diagnoses: dict[str, Diagnosis]
) -> Iterator[ManifestRow]:
    """Rows by patient and series, nodules numbered through a patient's series."""
    numbered: dict[str, int] = {}
    for s in series:
        result = results.get(s.series_uid)
        if not isinstance(result, Part):
            continue
        first = numbered.get(s.patient_id, 0)
        numbered[s.patient_id] = first + result.nodules
        diagnosis = diagnoses.get(s.patient_id)
        for row in result.rows:
            yield replace(
                row,
                nodule=first + row.nodule,
                diagnosis=diagnosis.code if diagnosis else None,
                primary_site=diagnosis.primary_site if diagnosis else "",
            )


def _find_table(lidc: Path) -> Path | None:
    """The first diagnosis table by name; one in a zip archive has to be unpacked."""
    if not lidc.is_dir():
        return None
    tables = (
        file.path
        for file in list_files(lidc)[0]
        if file.suffix in TABLE_SUFFIXES and "diagnosis" in file.path.name.lower()
    )
    return next(tables, None)


def _unexpected(skipped: Sequence[Skipped], table: Path | None) -> list[Skipped]:
    """Without the files that are no DICOM and belong there all the same."""
    return [s for s in skipped if not s.path.lower().endswith(".xml") and s.path != str(table)]


def _check_some_found(lidc: Path, series: Sequence[Series], skipped: Sequence[Skipped]) -> None:
    if series:
        return
    first = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
    raise LidcError(
        str(lidc),
        expected="DICOM files of CT series",
        found=f"none in {len(skipped)} files{first}",
        fix="give the folder of the LIDC-IDRI download",
    )


def _check_some_done(lidc: Path, report: Report) -> None:
    if report.having(DONE):
        return
    failed = report.having(FAILED)
    if failed:
        raise LidcError(
            str(lidc),
            expected="at least one series that can be read",
            found=f"{len(failed)} that cannot, the first because {failed[0].reason}",
            fix="report.json has all reasons",
        )
    raise LidcError(
        str(lidc),
        expected="LIDC XML files of its series",
        found=f"none for {len(report.series)} series, {report.annotated_elsewhere} of others",
        fix="give the folder or archive of the XML files with --xml",
    )
