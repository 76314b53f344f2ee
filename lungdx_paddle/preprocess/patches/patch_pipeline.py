"""The public set of nodule slices and the LIDC XML files -> the same crops as from DICOM.

The set is 170 MB where the scans are 125 GB, and holds nothing but pixels:
:mod:`.patch_matching` finds out where they come from.  Outlines, ratings, readers and
positions are the XML's, as in :mod:`lungdx_paddle.preprocess.pipeline`.  Each picture was
stretched from its darkest to its brightest pixel; :mod:`.slice_hu` knows the HU of the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.files import new_folder, writable_folder
from lungdx_paddle.lidc import (
    Annotations,
    Diagnosis,
    DiagnosisTable,
    Skipped,
    find_annotations,
    read_diagnoses,
)
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import ManifestRow, write_manifest
from lungdx_paddle.manifest_cells import PUBLIC_SLICES, STRETCHED
from lungdx_paddle.preprocess.crop_files import (
    DEFAULT_CROPS,
    CropSettings,
    crop_row,
    encode_jpg,
    with_diagnoses,
)
from lungdx_paddle.preprocess.patches.patch_crops import PatientCrops, crop_patient
from lungdx_paddle.preprocess.patches.patch_files import PictureFolder, find_pictures
from lungdx_paddle.preprocess.patches.slice_hu import AS_IT_IS, known_hu
from lungdx_paddle.preprocess.report import (
    DONE,
    FAILED,
    Report,
    SeriesReport,
    attempt,
    by_reason,
    check_found,
)
from lungdx_paddle.preprocess.source_names import absolute, as_given, named
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW
from lungdx_paddle.progress import bar
from lungdx_paddle.words import first_few
from lungdx_paddle.workers import run_all

_THE_SET = {
    "expected": "pictures such as LIDC-IDRI-0001/nodule-0/images/slice-0.png",
    "fix": "give the folder or archive of the set of nodule slices",
}

_Patient = tuple[str, Sequence[PictureFolder], Sequence[Annotations]]
"""Patient ID, pictures, and annotations of the patient's series by UID, if there are any."""


def preprocess_slices(
    slices: Path,
    out: Path,
    *,
    xml: Path,
    diagnosis: Path | None = None,
    crops: CropSettings = DEFAULT_CROPS,
    pool: Executor | None = None,
) -> Report:
    """Cut the nodules out of the public set of nodule slices.

    A picture whose place in the scans or whose HU are not sure is left out, with the reason,
    in ``report.json``.  An earlier run's results stay whole until all of the new ones are there.

    Args:
        slices: folder or zip archive of the set.
        out: folder for ``manifest.csv``, ``crops/`` and ``report.json``.
        xml: folder or zip archive of LIDC XML files.
        diagnosis: the diagnosis table; None: no pathology labels.
        crops: how crops are cut.  By ``context`` a nodule whose 32 mm reach over its picture
            is left out; without a window pictures stay stretched as they are.
        pool: processes or a cluster; they read ``slices`` themselves.  None: this process.

    Raises:
        LidcError: no pictures, no annotations of their patients, no picture whose place and
            HU are sure, or a diagnosis table that cannot be read.
        OutputError: ``out`` cannot be written to.
    """
    out, sources = writable_folder(Path(out)), (Path(slices), Path(xml))
    with as_given(*sources):
        folders, skipped = find_pictures(absolute(slices))
        annotations, skipped_xml = find_annotations(absolute(xml), pool)
    check_found(slices, folders, named(skipped, *sources), **_THE_SET)
    table = read_diagnoses(Path(diagnosis)) if diagnosis else DiagnosisTable("", {})
    table = table.of(folder.patient_id for folder in folders)
    patients = _patients(folders, annotations, in_hu=crops.window is not None)
    work = run_all(pool, partial(_crop_patient, settings=crops), patients)
    results = list(bar(work, total=len(patients), desc="preprocess", unit="patient"))
    report = Report(
        crop=crops.rule,
        window=crops.window or STRETCHED,
        series=tuple(report for found in results for report in _series_reports(found, annotations)),
        diagnosed_patients=len(table.by_patient),
        diagnosis_notes=table.notes,
        elsewhere=tuple(sorted({*annotations} - {a.series_uid for *_, xs in patients for a in xs})),
        skipped=(*skipped, *skipped_xml),
        left_out=tuple(entry for found in results for entry in found.left_out),
        hu_from=Counter(c.hu_from for found in results for c in found.crops.values()),
    )
    report = named(report, *sources)
    report.write(out / "report.json")
    if not report.having(DONE):
        raise LidcError(
            str(slices),
            expected=f"pictures of nodules that {xml} describes",
            found=f"none, left out: {first_few(list(by_reason(report.left_out)))}",
            fix="give all of LIDC's XML files with --xml; report.json has the reasons",
        )
    write_manifest(out / "manifest.csv", _write_crops(out, results, crops, table.by_patient))
    return report


def _patients(
    folders: Sequence[PictureFolder], annotations: Mapping[str, Annotations], in_hu: bool
) -> list[_Patient]:
    theirs: dict[str, list[Annotations]] = {}
    for uid in sorted(set(annotations) & set(known_series())):
        theirs.setdefault(known_series()[uid].patient_id, []).append(annotations[uid])
    pictures: dict[str, list[PictureFolder]] = {}
    for folder in folders:
        as_they_are = dict.fromkeys(folder.images, AS_IT_IS)
        folder.hu = known_hu().get(folder.name, {}) if in_hu else as_they_are
        pictures.setdefault(folder.patient_id, []).append(folder)
    return [(name, pictures[name], theirs.get(name, [])) for name in sorted(pictures)]


def _crop_patient(patient: _Patient, settings: CropSettings) -> PatientCrops:
    patient_id, folders, annotations = patient
    found: PatientCrops | str = "no LIDC XML file describes a series of this patient"
    if annotations:
        found = attempt(partial(crop_patient, patient_id, folders, annotations), settings)
    if isinstance(found, str):
        left_out = [Skipped(folder.name, found) for folder in folders]
        found = PatientCrops(patient_id, {}, left_out=left_out, failure=found)
    return found


def _series_reports(
    found: PatientCrops, annotations: Mapping[str, Annotations]
) -> Iterator[SeriesReport]:
    """One for each series in which something was outlined."""
    if found.failure:
        yield SeriesReport(found.patient_id, "", FAILED, found.failure, slices=0)
    for series_uid, nodules in found.nodules.items():
        crops = [crop for (uid, _, _), crop in found.crops.items() if uid == series_uid]
        shown = {crop.sop_uid for crop in crops}
        outlined = {uid: n.z_mm.get(uid) for n in nodules for uid in n.sop_uids}
        missing = [(uid, z_mm) for uid, z_mm in outlined.items() if uid not in shown]
        missing.sort(key=lambda item: (item[1] is None, item[1] or 0.0, item[0]))
        if outlined:
            yield SeriesReport(
                patient_id=found.patient_id,
                series_uid=series_uid,
                status=DONE if crops else FAILED,
                reason="" if crops else "no picture gave a crop of its nodules",
                slices=found.pictures[series_uid],
                nodules=len({crop.nodule.number for crop in crops}),
                crops=len(crops),
                missing_slices=tuple({"sop_uid": uid, "z_mm": z_mm} for uid, z_mm in missing),
                warnings=annotations[series_uid].warnings,
            )


def _write_crops(
    out: Path,
    results: Sequence[PatientCrops],
    settings: CropSettings,
    diagnoses: Mapping[str, Diagnosis],
) -> list[ManifestRow]:
    """Write all crops beside those of an earlier run, then replace them; the crops' rows."""
    rows: list[ManifestRow] = []
    window = settings.window or DEFAULT_WINDOW
    with new_folder(out / "crops", listed_in=out / "manifest.csv") as new:
        for found in results:
            crops = ((*key[:2], crop.index, crop) for key, crop in found.crops.items())
            for series_uid, _, _, crop in sorted(crops, key=lambda item: item[:3]):
                row = crop_row(crop, found.patient_id, series_uid, window, PUBLIC_SLICES)
                path = new / Path(row.image).relative_to("crops")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_jpg(crop.image))
                rows.append(row)
    return list(with_diagnoses(rows, diagnoses))
