"""What is unusual about the slices of one series, in words with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from lungdx_paddle.lidc.slices import Slice
from lungdx_paddle.words import count_of

SAME_POSITION_MM = 0.01
"""Slices nearer than this lie at one place; positions are written with 2 or more decimals."""

STEP_TOLERANCE = 0.1
"""Steps may differ by this part of the usual one: makers round positions to 0.1 mm."""

GAP = 1.5
"""From this many usual steps on, a slice is missing between two neighbours."""

TILT_DEGREES = 0.5
"""A larger shear than this is a tilted gantry; less is rounding of the positions."""

PLANES = ("sagittal", "coronal", "axial")
"""What a slice normal along x, y or z of the patient (DICOM PS3.3, C.7.6.2.1.1) makes slices."""

OBLIQUE_DEGREES = 5.0
"""Slices that follow each other along a line farther off the body's axis are oblique; smaller
angles correct for how the patient lay."""


def series_warnings(slices: Sequence[Slice], z_mm: np.ndarray, step_mm: float) -> tuple[str, ...]:
    """All that is unusual about the slices of a series, sorted along their normal."""
    return (
        *_of_steps(np.diff(z_mm), step_mm),
        *_of_plane(slices),
        *_of_identity(slices),
        *_of_values(slices),
    )


def normal_of(s: Slice) -> np.ndarray:
    """Unit vector through the slices, towards the head (DICOM's +z)."""
    normal = np.cross(s.orientation[:3], s.orientation[3:])
    normal = normal / np.linalg.norm(normal)
    return -normal if normal[2] < 0 else normal


def plane_of(direction: np.ndarray) -> str:
    """Which of :data:`PLANES` slices along a direction lie in, or nearest to."""
    return PLANES[int(np.argmax(np.abs(direction)))]


def shared_uids(slices: Sequence[Slice]) -> list[str]:
    """SOP instance UIDs that several slices carry."""
    return [uid for uid, count in Counter(s.sop_uid for s in slices).items() if count > 1]


def _of_steps(steps: np.ndarray, usual: float) -> Iterator[str]:
    double = int((steps <= SAME_POSITION_MM).sum())
    gaps = steps[steps > GAP * usual]
    even = steps[(steps > SAME_POSITION_MM) & (steps <= GAP * usual)]
    if len(gaps):
        missing = int(np.rint(gaps / usual - 1).sum())
        yield (
            f"{missing} slices missing in {len(gaps)} gaps of up to {gaps.max():.4g} mm, "
            f"where {usual:.4g} mm is usual"
        )
    if len(even) and np.abs(even - usual).max() > STEP_TOLERANCE * usual:
        yield f"uneven steps of {even.min():.4g} to {even.max():.4g} mm"
    if double:
        yield f"{double} slices lie at the place of another one"


def _of_plane(slices: Sequence[Slice]) -> Iterator[str]:
    """Gantry tilt is no oblique plane: its slices follow each other along the table.

    Those of an oblique reformat follow each other along their normal.
    """
    normal = normal_of(slices[0])
    path = np.subtract(slices[-1].position_mm, slices[0].position_mm)
    along = float(normal @ path)
    across = float(np.linalg.norm(path - along * normal))
    tilt = float(np.degrees(np.arctan2(across, along)))
    tilted = tilt > TILT_DEGREES and along > SAME_POSITION_MM
    direction = path / np.linalg.norm(path) if tilted else normal
    angle = float(np.degrees(np.arccos(min(1.0, abs(float(direction[2]))))))
    plane = plane_of(direction)
    if plane != "axial" or angle > OBLIQUE_DEGREES:
        kind = plane if plane != "axial" else "oblique"
        yield f"{kind} slices, {angle:.0f} degrees from axial: readers and models know axial ones"
    if tilted:
        yield f"gantry tilt of {tilt:.1f} degrees: the slices are shifted by {across:.4g} mm in all"


def _of_identity(slices: Sequence[Slice]) -> Iterator[str]:
    """What should be one for all slices, or one for each."""
    for name, noun, values in (
        ("PatientID", "patients", [s.patient_id for s in slices]),
        ("StudyInstanceUID", "studies", [s.study_uid for s in slices]),
        ("FrameOfReferenceUID", "coordinate systems", [s.frame_of_reference for s in slices]),
    ):
        counts = Counter(filter(None, values)).most_common()
        if len(counts) > 1:
            examples = ", ".join(f"{value} ({count})" for value, count in counts[:2])
            yield f"slices of {len(counts)} {noun} by {name}: {examples}"
    if shared := shared_uids(slices):
        count = sum(s.sop_uid == shared[0] for s in slices)
        found = f"{count} different slices carry one SOP instance UID {shared[0]}"
        more = f" ({len(shared) - 1} more UIDs are shared)" if len(shared) > 1 else ""
        yield f"{found}{more}: marks cannot be placed on them"


def _of_values(slices: Sequence[Slice]) -> Iterator[str]:
    """What may be no HU; then one line for each attribute that was noted."""
    if lacking := sum(not s.has_rescale for s in slices):
        yield (
            f"{lacking} of {count_of(len(slices), 'slice')} lack RescaleIntercept or RescaleSlope: "
            "their values may be no HU"
        )
    counts = Counter(name for s in slices for name, _ in s.notes)
    examples = {name: note for s in reversed(slices) for name, note in s.notes}
    for name, count in counts.items():
        yield f"{count_of(count, 'slice')}: {examples[name]}"
