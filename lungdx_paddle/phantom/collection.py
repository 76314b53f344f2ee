"""Write a phantom collection: DICOM, LIDC XML and a diagnosis table, patient by patient."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from lungdx_paddle.disk import make_folder, sync
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.files import writable_folder, writing
from lungdx_paddle.lidc.catalogue import PHANTOM_PREFIX
from lungdx_paddle.locks import alone_in
from lungdx_paddle.phantom.chest import Chest, build_chest
from lungdx_paddle.phantom.dicom_files import (
    DIAGNOSIS_TABLE,
    MAKERS,
    DiagnosisRow,
    SeriesNames,
    write_diagnoses,
    write_slices,
    write_xml,
)
from lungdx_paddle.phantom.diseases import DISEASES, disease_of
from lungdx_paddle.phantom.geometry import Grid, add_noise, cover
from lungdx_paddle.phantom.lesions import draw_lesion, place_lesions, render
from lungdx_paddle.phantom.simulated_readers import Point, read_series
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import executor, run_all

DEFAULT_PATIENTS = 55
"""Five turns through the diseases: enough crops to train on, few enough to write soon."""

SMALL_NODULE_MM = 2.4
"""Diameter of a nodule that LIDC marks by one point, as it is below 3 mm."""
SMALL_NODULE_HU = 20


@dataclass(frozen=True)
class PhantomSettings:
    """Size of each series."""

    rows: int = 320
    """Rows and columns of a slice."""
    slices: int = 18
    slice_mm: float = 1.5
    """Spacing of the slices."""
    field_mm: tuple[float, float] = (260.0, 310.0)
    """Least and largest width of the field of view: rows times the pixel spacing."""
    nodules: tuple[int, int] = (6, 10)
    """Least and largest number of nodules of 3 mm and more."""


def write_phantom(
    folder: str | Path,
    patients: int = DEFAULT_PATIENTS,
    seed: int = 0,
    jobs: int | None = None,
    settings: PhantomSettings = PhantomSettings(),
) -> None:
    """Write an LIDC-shaped collection: DICOM, LIDC XML and a diagnosis table.

    The same seed and settings give the same bytes, whatever the number of jobs; patient
    n is the same in a small collection and in a large one.  An earlier phantom in the
    folder (PHANTOM-0001, ...) is replaced.  The table is written last: where it is, the
    collection is whole.  Another process that writes there is waited for, and if it has written
    the same, that stays.

    Args:
        folder: where ``<patient>/<study>/<series>/000001.dcm``, ``001.xml`` beside it and
            ``tcia-diagnosis-phantom.csv`` go.
        patients: number of patients, one series each.
        seed: 0 or more.
        jobs: processes; None for one a core.
        settings: size of each series.

    Raises:
        ConfigError: fewer than one patient or more than 9999, or a negative seed.
        OutputError: the folder cannot be written to.
    """
    for name, value, least, most in (("patients", patients, 1, 9999), ("seed", seed, 0, 2**32)):
        if not least <= value <= most:
            raise ConfigError(
                f"phantom {name}",
                expected=f"a whole number from {least} to {most}",
                found=str(value),
                fix="choose another",
            )
    target = writable_folder(Path(folder).resolve())
    with alone_in(target, wait=True) as waited, writing(target):
        if waited and _is_there(target, patients, seed, settings):
            return
        (target / DIAGNOSIS_TABLE).unlink(missing_ok=True)
        for path in sorted(target.iterdir()):
            if re.fullmatch(PHANTOM_PREFIX + r"\d{4}", path.name):
                shutil.rmtree(path)
        write = partial(_write_patient, target, seed, settings)
        with executor(jobs) as pool:
            written = run_all(pool, write, range(patients))
            rows = list(bar(written, total=patients, desc="phantom", unit="patient", leave=False))
        write_diagnoses(target / DIAGNOSIS_TABLE, [row for row in rows if row is not None])


def _is_there(folder: Path, patients: int, seed: int, settings: PhantomSettings) -> bool:
    """Whether a whole phantom of these settings is there, by the UIDs of its series."""
    whole = (folder / DIAGNOSIS_TABLE).is_file()
    wanted = {_names(patient, seed, settings).folder for patient in range(patients)}
    found = {path.relative_to(folder) for path in folder.glob(f"{PHANTOM_PREFIX}*/*/*")}
    return whole and found == wanted


def _names(patient: int, seed: int, settings: PhantomSettings) -> SeriesNames:
    patient_id = f"{PHANTOM_PREFIX}{patient + 1:04d}"
    return SeriesNames(patient_id, f"{seed} {patient} {settings}", settings.slices)


def _write_patient(
    folder: Path, seed: int, settings: PhantomSettings, patient: int
) -> DiagnosisRow | None:
    """Write one patient; return the row of the diagnosis table, if there is one."""
    rng = np.random.default_rng([seed, patient])
    grid, chest = _build(settings, rng)
    disease, site = disease_of(patient)
    volume_hu = chest.volume_hu.copy()
    count = int(rng.integers(settings.nodules[0], settings.nodules[1] + 1))
    lesions = [draw_lesion(disease, rng) for _ in range(count)]
    nodules = place_lesions(lesions, chest, grid, rng)
    for placed in nodules:
        render(placed, volume_hu, rng)
    small = _points(chest.lung - chest.vessel > 0.9, int(rng.integers(0, 4)), rng)
    _render_small(small, volume_hu, chest, grid)
    non_nodules = _points(chest.vessel > 0.7, int(rng.integers(0, 4)), rng)
    add_noise(volume_hu, rng.uniform(12, 35), rng)
    sessions = read_series(nodules, small, non_nodules, rng)

    names = _names(patient, seed, settings)
    target = folder / names.folder
    make_folder(target)
    write_slices(target, names, volume_hu, grid, MAKERS[patient % len(MAKERS)], rng)
    write_xml(target / f"{patient + 1:03d}.xml", names, grid, sessions)
    sync((target, *target.iterdir()))
    if disease.code is None:
        return None
    # As in TCIA's table, it lists all nodules of some patients and one of the others.
    listed = 1 if patient // len(DISEASES) % 2 else len(nodules)
    return DiagnosisRow(names.patient_id, disease.code, disease.method, site, listed)


def _build(settings: PhantomSettings, rng: np.random.Generator) -> tuple[Grid, Chest]:
    pixel_mm = round(rng.uniform(*settings.field_mm) / settings.rows, 6)
    grid = Grid(settings.rows, settings.slices, pixel_mm, settings.slice_mm)
    return grid, build_chest(grid, rng)


def true_lung(
    patient: int, seed: int = 0, settings: PhantomSettings = PhantomSettings()
) -> np.ndarray:
    """True lung mask of a phantom patient, the reference for lung segmentation.

    Args:
        patient: from 0; PHANTOM-0001 is 0.
        seed: as given to :func:`write_phantom`.
        settings: as given to it.

    Returns:
        (slices, rows, columns) bool, the caudal slice first: voxels of which more than half
        is lung, with its vessels and nodules.
    """
    _, chest = _build(settings, np.random.default_rng([seed, patient]))
    lung: np.ndarray = chest.lung > 0.5
    return lung


def _points(where: np.ndarray, count: int, rng: np.random.Generator) -> list[Point]:
    flat = np.flatnonzero(where)
    if not len(flat):
        return []
    indices = np.unravel_index(rng.choice(flat, count), where.shape)
    return [(int(z), int(x), int(y)) for z, y, x in zip(*indices)]


def _render_small(points: list[Point], volume_hu: np.ndarray, chest: Chest, grid: Grid) -> None:
    """Paint a faint dot for every nodule below 3 mm."""
    for z, x, y in points:
        dy, dx = (grid.axis_mm - grid.axis_mm[at] for at in (y, x))
        depth = SMALL_NODULE_MM / 2 - np.hypot(dy[:, None], dx[None])
        share = chest.lung[z] * cover(depth, grid.pixel_mm)
        volume_hu[z] += share * np.maximum(SMALL_NODULE_HU - volume_hu[z], 0)
