"""Compare the crops of two manifests: the same crops, patients and nodules, made the same way."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.manifest import Manifest, ManifestRow
from lungdx_paddle.manifest_cells import STRETCHED

SLICE_TOLERANCE_MM = 0.05
"""Two positions nearer than this are one slice: a twelfth of the thinnest slices of LIDC."""


def match_rows(
    rows: Sequence[ManifestRow],
    known: Sequence[ManifestRow],
    digests: Sequence[str] | None = None,
    known_digests: Sequence[str] | None = None,
) -> np.ndarray:
    """Find the same crops in another manifest, whatever their files are called there.

    Two crops are the same if patient, nodule and series are (a missing series UID fits any)
    and the slice is: by the first of SOP instance UID, z position (nearer than
    :data:`SLICE_TOLERANCE_MM`) and digest of the pixels that both have.  Rows that have none
    of them in common are never the same.

    Args:
        rows: what to look for.
        known: where to look.
        digests: of the pixels of ``rows``, for rows that have neither UID nor z.
        known_digests: of the pixels of ``known``.

    Returns:
        (rows,) int64 index of the same crop in ``known``; -1: none.  Of several it is the first
        with the same digest, or the first; for a second such row the second.
    """
    no_digests = ("",) * max(len(rows), len(known))
    of_nodule: dict[tuple[str, int], list[tuple[int, ManifestRow, str]]] = {}
    for index, (row, digest) in enumerate(zip(known, known_digests or no_digests)):
        of_nodule.setdefault(row.nodule_key, []).append((index, row, digest))

    taken: set[int] = set()

    def find(row: ManifestRow, digest: str) -> int:
        found: list[tuple[bool, bool, int]] = []
        for index, other, other_digest in of_nodule.get(row.nodule_key, ()):
            if row.series_uid and other.series_uid and row.series_uid != other.series_uid:
                continue
            if row.sop_uid and other.sop_uid:
                same = row.sop_uid == other.sop_uid
            elif row.z_mm is not None and other.z_mm is not None:
                same = abs(row.z_mm - other.z_mm) < SLICE_TOLERANCE_MM
            else:
                same = digest != "" and digest == other_digest
            if same:
                found.append((digest != other_digest, index in taken, index))
        best = min(found)[2] if found else -1
        taken.add(best)
        return best

    return np.array([find(*pair) for pair in zip(rows, digests or no_digests)], dtype=np.int64)


def patient_names(row: ManifestRow) -> tuple[str, ...]:
    """What tells a crop's patient: the id first, then the series UID, if known.

    Two manifests may call one patient differently; a series is of one patient.
    """
    return tuple(name for name in (row.patient_id, row.series_uid) if name)


def nodule_names(row: ManifestRow) -> tuple[tuple[str, int], ...]:
    """What tells a crop's nodule: its number with each of :func:`patient_names`."""
    return tuple((name, row.nodule) for name in patient_names(row))


def check_made_alike(manifest: Manifest, rule: str, gray: str, whose: str) -> None:
    """Check that the extent and the gray values of a manifest's crops mean the same as others'.

    Args:
        manifest: the crops.
        rule: paper or context.
        gray: what the gray values mean, as :attr:`~lungdx_paddle.manifest.ManifestRow.gray`.
        whose: rule and gray these are, for the message: ``the model's``.

    Raises:
        ManifestError: they were made by another rule, or their gray values mean something else.
    """
    window = f"--window {gray.removesuffix(' HU').replace('/', ',')}"
    for what, wanted, made, option in (
        ("gray values", gray, manifest.grays, "--stretched" if gray == STRETCHED else window),
        ("rule", rule, manifest.crop_rules, f"--crop {rule}"),
    ):
        others = [found for found in made if found != wanted]
        if others:
            raise ManifestError(
                str(manifest.folder),
                expected=f"crops with {whose} {what} {wanted}",
                found=others[0],
                fix=f"preprocess with {option}",
            )
