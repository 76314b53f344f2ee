"""What is unusual about the slices of one series, in words with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
    steps = np.diff(z_mm)
    double = int((steps <= SAME_POSITION_MM).sum())
    return (
        *_step_warnings(steps[steps > SAME_POSITION_MM], step_mm),
        *([f"{double} slices lie at the place of another one"] if double else []),
        *_plane_warnings(slices),
        *_identity_warnings(slices),
        *_rescale_warnings(slices),
        *_notes(slices),
    )


def normal_of(s: Slice) -> np.ndarray:
    """Unit vector through the slices, towards the head (DICOM's +z)."""
    normal = np.cross(s.orientation[:3], s.orientation[3:])
    normal = normal / np.linalg.norm(normal)
    return -normal if normal[2] < 0 else normal


def plane_of(direction: np.ndarray) -> str:
    """Which of :data:`PLANES` slices along a direction lie in, or nearest to."""
    return PLANES[int(np.argmax(np.abs(direction)))]


def _step_warnings(steps: np.ndarray, usual: float) -> list[str]:
    warnings = []
    gaps, even = steps[steps > GAP * usual], steps[steps <= GAP * usual]
    if len(gaps):
        missing = int(np.rint(gaps / usual - 1).sum())
        warnings.append(
            f"{missing} slices missing in {len(gaps)} gaps of up to {gaps.max():.4g} mm, "
            f"where {usual:.4g} mm is usual"
        )
    if len(even) and np.abs(even - usual).max() > STEP_TOLERANCE * usual:
        warnings.append(f"uneven steps of {even.min():.4g} to {even.max():.4g} mm")
    return warnings


def _plane_warnings(slices: Sequence[Slice]) -> list[str]:
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
    warnings = []
    if plane != "axial" or angle > OBLIQUE_DEGREES:
        kind = plane if plane != "axial" else "oblique"
        warnings.append(
            f"{kind} slices, {angle:.0f} degrees from axial: readers and models know axial ones"
        )
    if tilted:
        warnings.append(
            f"gantry tilt of {tilt:.1f} degrees: the slices are shifted by {across:.4g} mm in all"
        )
    return warnings


def _identity_warnings(slices: Sequence[Slice]) -> list[str]:
    """What should be one for all slices, or one for each."""
    warnings = []
    for name, noun, values in (
        ("PatientID", "patients", [s.patient_id for s in slices]),
        ("StudyInstanceUID", "studies", [s.study_uid for s in slices]),
        ("FrameOfReferenceUID", "coordinate systems", [s.frame_of_reference for s in slices]),
    ):
        counts = Counter(filter(None, values)).most_common()
        if len(counts) > 1:
            examples = ", ".join(f"{value} ({count})" for value, count in counts[:2])
            warnings.append(f"slices of {len(counts)} {noun} by {name}: {examples}")
    if shared := shared_uids(slices):
        uids = [s.sop_uid for s in slices]
        found = f"{uids.count(shared[0])} different slices carry one SOP instance UID {shared[0]}"
        more = f" ({len(shared) - 1} more UIDs are shared)" if len(shared) > 1 else ""
        warnings.append(f"{found}{more}: marks cannot be placed on them")
    return warnings


def shared_uids(slices: Sequence[Slice]) -> list[str]:
    """SOP instance UIDs that several slices carry."""
    return [uid for uid, count in Counter(s.sop_uid for s in slices).items() if count > 1]


def _rescale_warnings(slices: Sequence[Slice]) -> list[str]:
    lacking = sum(not s.has_rescale for s in slices)
    if not lacking:
        return []
    return [
        f"{lacking} of {count_of(len(slices), 'slice')} lack RescaleIntercept or RescaleSlope: "
        "their values may be no HU"
    ]


def _notes(slices: Sequence[Slice]) -> list[str]:
    """What was noted of the attributes: one line each, with its first example."""
    counts = Counter(name for s in slices for name, _ in s.notes)
    examples = {name: note for s in reversed(slices) for name, note in s.notes}
    return [f"{count_of(count, 'slice')}: {examples[name]}" for name, count in counts.items()]
