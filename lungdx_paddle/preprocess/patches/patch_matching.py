"""Find where in a patient's scans the pictures of a folder lie, by the shape of their masks.

The masks are the readers' areas pixel by pixel: on 40 patients 99.7 % of 2322 masks have
exactly the shape of an area that the XML files enclose, the others differ by one pixel or
by a reader's few slices.  So nothing rests on the set's numbering: a mask that fits an
area says at once which series, which slice and which corner its picture was cut from, and
the other masks of the folder have to agree.

One folder may hold slices of two scans: of a patient with two series the set's second
wrote over the first.  So places are looked for until no slice is left, one in a series:
some masks that should lie below a folder's first slice stand on its last ones instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lungdx_paddle.lidc import Nodule
from lungdx_paddle.preprocess.crop import cut, rectangle

SCAN_SHAPE = (512, 512)
"""(rows, columns) of every CT slice of LIDC-IDRI."""

SAME_AREA = 0.8
"""Intersection over union of a mask and an area from which on they count as one: a pixel on the
border of the smallest areas is a tenth; areas of different readers seldom reach it."""

FEWEST_PIXELS = 10
"""Exact masks of fewer pixels in all prove nothing: outlines of that size are often alike."""

BLANK, UNKNOWN, TWO_PLACES, OUT_OF_ORDER, TOO_SMALL = (
    "no reader has a mask on it",
    "its masks fit no outline of the patient's XML files",
    "its masks fit two places alike",
    "its masks belong to another slice than the folder's order says",
    f"its masks have fewer than {FEWEST_PIXELS} pixels, too few to be sure",
)
"""Why a picture is left out."""


@dataclass(frozen=True)
class Place:
    """Where some pictures of one folder lie."""

    series_uid: str
    corner_xy: tuple[int, int]
    """Column and row of the scan at a picture's first pixel; may be negative."""
    slices: Mapping[int, str]
    """The set's number of a slice -> SOP instance UID."""
    numbers: frozenset[int]
    """Numbers of the nodules whose areas the masks show."""


_Guess = tuple[str, int, int, int]
"""Series, column, row, and the slice of the series at the set's slice 0."""
_Masks = dict[int, list[np.ndarray]]
_Votes = dict[_Guess, dict[tuple[int, int], int]]
"""For each guess the masks that fit it exactly, by slice and number: how many pixels."""
_Shape = tuple[bytes, int]


class MaskIndex:
    """All areas that the readers of a patient enclosed, to be found by shape.

    Args:
        nodules: of each series, by UID; their numbers are unique within the patient.
    """

    def __init__(self, nodules: Mapping[str, Sequence[Nodule]]) -> None:
        self._by_shape: dict[_Shape, list[tuple[str, int, int, int]]] = {}
        self._by_slice: dict[tuple[str, int], dict[str, list[tuple[int, np.ndarray]]]] = {}
        for series_uid, of_series in nodules.items():
            caudal_mm = min((z for nodule in of_series for z in nodule.z_mm.values()), default=0.0)
            for nodule in of_series:
                for sop_uid in (uid for uid in nodule.sop_uids if uid in nodule.z_mm):
                    above_mm = nodule.z_mm[sop_uid] - caudal_mm
                    index = round(above_mm / nodule.slice_spacing_mm)
                    self._add(series_uid, index, nodule, sop_uid)

    def _add(self, series_uid: str, index: int, nodule: Nodule, sop_uid: str) -> None:
        areas = self._by_slice.setdefault((series_uid, index), {}).setdefault(sop_uid, [])
        for area in nodule.masks(sop_uid, SCAN_SHAPE):
            if area.any():  # all of it may lie outside a scan that is not LIDC's
                areas.append((nodule.number, area))
                shape, left, top = _shape(area)
                self._by_shape.setdefault(shape, []).append((series_uid, left, top, index))

    def guesses(self, mask: np.ndarray, k: int) -> set[_Guess]:
        """Every place where slice ``k`` of a folder could lie, by one of its masks."""
        shape, left, top = _shape(mask)
        found = self._by_shape.get(shape, [])
        return {(uid, x - left, y - top, index - k) for uid, x, y, index in found}

    def check(self, guess: _Guess, k: int, masks: Sequence[np.ndarray]) -> tuple[str, set[int]]:
        """The slice on which a guess puts slice ``k``, and the nodules that are there indeed.

        Two series have two slices at every place; the one with more agreement counts.

        Returns:
            SOP instance UID, and numbers of the nodules; empty where fewer than half of
            the masks agree.
        """
        best: tuple[int, str, set[int]] = (0, "", set())
        uid, left, top, first = guess
        for sop_uid, areas in self._by_slice.get((uid, first + k), {}).items():
            here = [(n, cut(area, (left, top), masks[0].shape)) for n, area in areas]
            fits = [{n for n, area in here if _overlap(mask, area) >= SAME_AREA} for mask in masks]
            agreeing = sum(map(bool, fits))
            if agreeing > best[0] and 2 * agreeing >= len(masks):
                best = agreeing, sop_uid, set().union(*fits)
        return best[1], best[2]


def find_places(
    masks: Mapping[int, Sequence[np.ndarray]], index: MaskIndex
) -> tuple[list[Place], dict[int, str]]:
    """Find where the pictures of one folder lie.

    Args:
        masks: the folder's masks, (rows, columns) bool, by the set's number of the slice.
        index: the patient's areas.

    Returns:
        Places, the one with most masks first, and the slices that are left, with the reason.
    """
    shown = {k: [mask for mask in found if mask.any()] for k, found in masks.items()}
    reasons = {k: BLANK for k, found in shown.items() if not found}
    left: _Masks = {k: found for k, found in shown.items() if found}
    places: list[Place] = []
    while left:
        votes = _vote(left, index)
        guess, place = _best_place(votes, left, index)
        if place is None:
            reasons.update({k: UNKNOWN for k in left})
            break
        known = place.series_uid in {earlier.series_uid for earlier in places}
        doubt = OUT_OF_ORDER if known else _doubt(guess, votes, place)
        if doubt:
            reasons.update({k: doubt for k in place.slices})
        else:
            places.append(place)
        left = {k: found for k, found in left.items() if k not in place.slices}
    return places, reasons


def _vote(left: _Masks, index: MaskIndex) -> _Votes:
    """For each guess the masks that fit it exactly."""
    votes: _Votes = {}
    for k, masks in left.items():
        for j, mask in enumerate(masks):
            for guess in index.guesses(mask, k):
                votes.setdefault(guess, {})[k, j] = int(mask.sum())
    return votes


def _best_place(votes: _Votes, left: _Masks, index: MaskIndex) -> tuple[_Guess, Place | None]:
    """The guess with most exact masks on which at least one whole slice agrees."""
    most_first = sorted(votes, key=lambda guess: (-len(votes[guess]), guess))
    for guess in most_first:
        slices: dict[int, str] = {}
        numbers: set[int] = set()
        for k, masks in left.items():
            sop_uid, here = index.check(guess, k, masks)
            if here:
                slices[k] = sop_uid
                numbers |= here
        if slices:
            return guess, Place(guess[0], guess[1:3], slices, frozenset(numbers))
    return ("", 0, 0, 0), None


def _doubt(guess: _Guess, votes: _Votes, place: Place) -> str:
    """Why a place is not sure; empty if it is."""
    # Another place in the same series is a rival wherever in the folder its slices are.
    fitting = {
        other: [
            pixels
            for (k, _), pixels in exact.items()
            if k in place.slices or (other[0] == guess[0] and other != guess)
        ]
        for other, exact in votes.items()
    }
    ours = fitting.pop(guess)
    if sum(ours) < FEWEST_PIXELS:
        return TOO_SMALL
    return TWO_PLACES if any(len(theirs) >= len(ours) for theirs in fitting.values()) else ""


def _shape(mask: np.ndarray) -> tuple[_Shape, int, int]:
    """A mask's shape without its place, its first column and its first row."""
    rows, columns = rectangle(mask)
    part = mask[rows, columns]
    return (part.tobytes(), part.shape[1]), columns.start, rows.start


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union; 0 for two empty areas."""
    union = int((one | other).sum())
    return int((one & other).sum()) / union if union else 0.0
