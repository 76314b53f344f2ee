"""Crops that are there, and a diagnosis table -> a manifest with its diagnoses."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.disk import make_folder, sync
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.lidc import read_diagnoses
from lungdx_paddle.manifest import read_manifest, write_manifest
from lungdx_paddle.preprocess.crop_files import with_diagnoses


@dataclass(frozen=True)
class DiagnosedManifest:
    """What a table said about the patients of a manifest."""

    crops: int
    patients: int
    diagnosed: int
    """Patients that the table has."""
    of_nodules: int
    """Those of whom it lists nodules."""
    changed: tuple[str, ...]
    """Those who had another diagnosis before."""
    notes: tuple[str, ...]
    """What is doubtful about the table."""


def add_diagnoses(manifest: Path, diagnosis: Path, out: Path) -> DiagnosedManifest:
    """Write a manifest again with what a diagnosis table says; needs no scan.

    Args:
        manifest: ``manifest.csv`` or its folder.
        diagnosis: the table; patients who are not in it keep what the manifest says.
        out: folder of the new ``manifest.csv``; the crops are copied into it unless they are
            there.

    Raises:
        ManifestError: the manifest is bad, or an image is missing.
        LidcError: the table cannot be read.
        OutputError: ``out`` cannot be written to.
    """
    found, out = read_manifest(manifest), writable_folder(Path(out))
    table = read_diagnoses(Path(diagnosis)).of(row.patient_id for row in found.rows)
    before = {row.patient_id: row.diagnosis for row in found.rows}
    known = table.by_patient
    if out.resolve() != found.folder.resolve():
        copies = [out / row.image for row in found.rows]
        with writing(out):
            for copy, path in zip(copies, found.image_paths()):
                make_folder(copy.parent)
                shutil.copyfile(path, copy)
            sync({*copies, *(copy.parent for copy in copies)})
    write_manifest(out / "manifest.csv", list(with_diagnoses(found.rows, known)))
    return DiagnosedManifest(
        crops=len(found),
        patients=len(before),
        diagnosed=len(known),
        of_nodules=sum(bool(own.nodule_codes) for own in known.values()),
        changed=tuple(p for p, own in known.items() if before[p] not in (None, own.code)),
        notes=table.notes,
    )
