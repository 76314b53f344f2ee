"""The public set of nodule slices and the LIDC XML files -> the same crops as from DICOM.

The set is 170 MB where the scans are 125 GB, and says nothing but pixels:
:mod:`.slice_matching` finds out where they come from.  Outlines, ratings, readers and
positions are the XML's, as in :mod:`.pipeline`; only the gray values are the set's.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.lidc import Annotations, Diagnosis, Skipped, find_annotations, read_diagnoses
from lungdx_paddle.lidc.catalogue import known_series
from lungdx_paddle.manifest import ManifestRow, write_manifest
from lungdx_paddle.preprocess.patches.patch_crops import PatientCrops, SliceCrop, crop_patient
from lungdx_paddle.preprocess.patches.patch_files import PictureFolder, find_pictures
from lungdx_paddle.preprocess.report import DONE, FAILED, Report, SeriesReport
from lungdx_paddle.preprocess.resume import encode_jpg, file_name
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import HERE, Workers

SOURCE = "lidc-slices"
"""The manifest's ``source`` of these crops."""


@dataclass(frozen=True)
class _Patient:
    patient_id: str
    folders: Sequence[PictureFolder]
    annotations: Sequence[Annotations]
    """Of the patient's series, by UID; none where the XML files have none."""


def preprocess_slices(
    slices: Path,
    out: Path,
    *,
    xml: Path,
    diagnosis: Path | None = None,
    workers: Workers = HERE,
) -> Report:
    """Cut the nodules out of the public set of nodule slices.

    A picture whose place in the scans is not sure is left out, with the reason, in
    ``report.json``.  What an earlier run wrote is whole until all of the new is there.

    The manifest's window, 20/2040, is the one that the set comes nearest to and not exact:
    each picture was stretched from its darkest to its brightest pixel, which on
    LIDC-IDRI-0001 are -989 to -1024 and 940 to 1121 HU.  The report says how many were.

    Args:
        slices: folder or zip archive of the set.
        out: folder for ``manifest.csv``, ``crops/`` and ``report.json``.
        xml: folder or zip archive of LIDC XML files.
        diagnosis: the diagnosis table; None: no pathology labels.
        workers: who does it; on a cluster they read ``slices`` themselves.

    Raises:
        LidcError: no pictures, no annotations of their patients, no picture whose place is
            sure, or a diagnosis table that cannot be read.
        OutputError: ``out`` cannot be written to.
    """
    slices, out = Path(slices).resolve(), writable_folder(Path(out))
    workers.check([slices])
    folders, skipped = find_pictures(slices)
    _check_some_found(slices, folders, skipped)
    annotations, skipped_xml = find_annotations(Path(xml))
    diagnoses = read_diagnoses(Path(diagnosis)) if diagnosis else {}
    patients = _patients(folders, annotations)
    found = {p.patient_id: crops for p, crops in zip(patients, _crops(patients, workers))}
    report = Report(
        window=DEFAULT_WINDOW,
        series=tuple(s for p in patients for s in _series_reports(p, found[p.patient_id])),
        diagnosed_patients=len(set(found) & set(diagnoses)),
        annotated_elsewhere=len(annotations) - sum(len(p.annotations) for p in patients),
        skipped=(*skipped, *skipped_xml),
        left_out=tuple(entry for crops in found.values() for entry in crops.left_out),
        notes=_notes(list(found.values())),
    )
    report.write(out / "report.json")
    _check_some_done(slices, Path(xml), report)
    _write(out, found, diagnoses)
    return report


def _patients(
    folders: Sequence[PictureFolder], annotations: Mapping[str, Annotations]
) -> list[_Patient]:
    theirs: dict[str, list[Annotations]] = {}
    for uid in sorted(set(annotations) & set(known_series())):
        theirs.setdefault(known_series()[uid].patient_id, []).append(annotations[uid])
    pictures: dict[str, list[PictureFolder]] = {}
    for folder in folders:
        pictures.setdefault(folder.patient_id, []).append(folder)
    return [_Patient(name, pictures[name], theirs.get(name, [])) for name in sorted(pictures)]


def _crops(patients: Sequence[_Patient], workers: Workers) -> Iterator[PatientCrops]:
    finished = workers.map(_process, patients)
    yield from bar(finished, total=len(patients), desc="preprocess", unit="patient")


def _process(patient: _Patient) -> PatientCrops:
    reason = "no LIDC XML file describes a series of this patient"
    if patient.annotations:
        try:
            return crop_patient(patient.folders, patient.annotations)
        except Exception as error:  # what is wrong with one patient must not cost the others
            reason = f"{type(error).__name__}: {error}"
    return PatientCrops(
        failure=reason, left_out=[Skipped(folder.name, reason) for folder in patient.folders]
    )


def _series_reports(patient: _Patient, found: PatientCrops) -> Iterator[SeriesReport]:
    """One for each series in which something was marked."""
    if found.failure:
        yield SeriesReport(patient.patient_id, "", FAILED, found.failure, slices=0)
        return
    for series_uid in (of_series.series_uid for of_series in patient.annotations):
        marked = [m for m in found.nodules if m.series_uid == series_uid]
        crops = [crop for crop in found.crops.values() if crop.marked.series_uid == series_uid]
        shown = {crop.sop_uid for crop in crops}
        outlined = {uid: m.nodule.z_mm[uid] for m in marked for uid in m.nodule.sop_uids}
        if not outlined:
            continue
        missing = sorted((z_mm, uid) for uid, z_mm in outlined.items() if uid not in shown)
        yield SeriesReport(
            patient_id=patient.patient_id,
            series_uid=series_uid,
            status=DONE if crops else FAILED,
            reason="" if crops else "no picture surely shows one of its nodules",
            slices=found.pictures[series_uid],
            nodules=len({crop.marked.number for crop in crops}),
            crops=len(crops),
            missing_slices=tuple({"sop_uid": uid, "z_mm": z_mm} for z_mm, uid in missing),
        )


def _notes(found: Sequence[PatientCrops]) -> tuple[str, ...]:
    stretched = sum(crops.stretched for crops in found)
    if not stretched:
        return ()
    return (
        f"{stretched} pictures reach from black to white: each was stretched on its own, "
        "so that 20,2040 is their window only about",
    )


def _write(
    out: Path, found: Mapping[str, PatientCrops], diagnoses: Mapping[str, Diagnosis]
) -> None:
    """All crops beside the old ones, then both change places."""
    rows: list[ManifestRow] = []
    new, old = out / "crops.partial", out / "crops"
    with writing(new):
        shutil.rmtree(new, ignore_errors=True)
        for patient_id, crops in found.items():
            for key in sorted(crops.crops, key=lambda key: _order(crops.crops[key])):
                row = _row(patient_id, crops.crops[key], diagnoses.get(patient_id))
                path = new / Path(row.image).relative_to("crops")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(encode_jpg(crops.crops[key].image))
                rows.append(row)
    with writing(old):
        (out / "manifest.csv").unlink(missing_ok=True)
        if old.exists():
            shutil.rmtree(old)
        new.rename(old)
    write_manifest(out / "manifest.csv", rows)


def _order(crop: SliceCrop) -> tuple[str, int, int]:
    sop_uids = crop.marked.nodule.sop_uids
    return crop.marked.series_uid, crop.marked.number, sop_uids.index(crop.sop_uid)


def _row(patient_id: str, crop: SliceCrop, diagnosis: Diagnosis | None) -> ManifestRow:
    series_uid, number, index = _order(crop)
    nodule = crop.marked.nodule
    folder = Path("crops", file_name(patient_id), file_name(series_uid))
    center, width = DEFAULT_WINDOW
    return ManifestRow(
        image=(folder / f"n{number:02d}_s{index:03d}.jpg").as_posix(),
        patient_id=patient_id,
        series_uid=series_uid,
        nodule=number,
        z_mm=nodule.z_mm[crop.sop_uid],
        pixel_spacing_mm=nodule.pixel_spacing_mm,
        scale=crop.scale,
        window_center=center,
        window_width=width,
        readers=nodule.readers_on(crop.sop_uid),
        malignancy_ratings=nodule.malignancy_ratings,
        diagnosis=diagnosis.code if diagnosis else None,
        primary_site=diagnosis.primary_site if diagnosis else "",
        sop_uid=crop.sop_uid,
        source=SOURCE,
    )


def _check_some_found(
    slices: Path, folders: Sequence[PictureFolder], skipped: Sequence[Skipped]
) -> None:
    if folders:
        return
    first = f" ({skipped[0].path}: {skipped[0].reason})" if skipped else ""
    raise LidcError(
        str(slices),
        expected="pictures such as LIDC-IDRI-0001/nodule-0/images/slice-0.png",
        found=f"none in {len(skipped)} files{first}",
        fix="give the folder or archive of the set of nodule slices",
    )


def _check_some_done(slices: Path, xml: Path, report: Report) -> None:
    if report.having(DONE):
        return
    raise LidcError(
        str(slices),
        expected=f"pictures of nodules that {xml} describes",
        found=f"none, {len(report.left_out)} entries left out",
        fix="give all of LIDC's XML files with --xml; report.json has the reasons",
    )
