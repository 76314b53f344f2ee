"""The phantom's four simulated readers: their outlines and ratings.

A session has its own habits (a bias of rating, of the outline's width, and a share of
nodules missed) and every reading its own error, so that readers disagree as in LIDC.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungdx_paddle.phantom.lesions import Lesion, Placed, random_bumps

NODULE_IDS = ("Nodule {:03d}", "IL057_{:06d}", "{:d}", "MI014_{:05d}")
"""Spellings of nodule ids; each session has its own, as in LIDC."""

READERS = len(NODULE_IDS)

MIN_AREA_PX = 14
"""Smaller parts of a nodule on a slice are not outlined."""

RATING_ERROR = 0.35
"""Deviation of one rating around the nodule's level, before rounding."""

Point = tuple[int, int, int]
"""Slice index, x, y."""


@dataclass(frozen=True)
class PhantomReading:
    """One reader's marks of one nodule."""

    nodule_id: str
    """In the session's spelling."""
    characteristics: dict[str, int]
    """LIDC's nine ratings; empty for a nodule below 3 mm."""
    contours: list[tuple[int, np.ndarray]]
    """Of each slice: its index, and (n, 2) int x, y of the first pixels outside."""


@dataclass(frozen=True)
class Session:
    """All that one reader marked in a series."""

    readings: list[PhantomReading]
    non_nodules: list[Point]


@dataclass(frozen=True)
class _Habits:
    rating_bias: float
    outline_mm: float
    attention: float


def read_series(
    nodules: list[Placed],
    small: list[Point],
    non_nodules: list[Point],
    rng: np.random.Generator,
) -> list[Session]:
    """Simulate the readers' outlines and ratings of a series.

    Args:
        nodules: the nodules of 3 mm and more.
        small: centres of nodules below 3 mm.
        non_nodules: places that look like a nodule and are none.
        rng: where the readers' errors come from.

    Returns:
        READERS sessions; someone finds every nodule, large enough to outline or not.
    """
    finders = []  # of each nodule (READERS,) bool, one of them true at least
    for lesion in (placed.lesion for placed in nodules):
        chance = 0.97 - 0.12 * (lesion.radius_mm < 3) - 0.12 * (lesion.solidity < 0.4)
        draws = rng.random(READERS)
        finders.append(draws < max(chance, draws.min() + 1e-9))
    sessions = []
    for reader, spelling in enumerate(NODULE_IDS):
        habits = _Habits(rng.normal(0, 0.25), rng.normal(0, 0.25), rng.uniform(0.4, 0.9))
        marks = [_read(p, habits, rng) for p, who in zip(nodules, finders) if who[reader]]
        marks += [({}, [(z, np.array([[x, y]]))]) for z, x, y in _noticed(small, habits, rng)]
        marks = [mark for mark in marks if mark[1]]  # nothing large enough to outline
        first = int(rng.integers(1, 900))
        ids = (spelling.format(first + i) for i in range(len(marks)))
        readings = [PhantomReading(name, *mark) for name, mark in zip(ids, marks)]
        sessions.append(Session(readings, _noticed(non_nodules, habits, rng)))
    return sessions


def _noticed(points: list[Point], habits: _Habits, rng: np.random.Generator) -> list[Point]:
    return [point for point in points if rng.random() < habits.attention]


def _read(
    placed: Placed, habits: _Habits, rng: np.random.Generator
) -> tuple[dict[str, int], list[tuple[int, np.ndarray]]]:
    lesion = placed.lesion
    hand = random_bumps(4, 0.12, 5.0, rng) * [1, 1, 1, rng.choice([-1, 1]), 1]
    wobble_mm = lesion.radius_mm * lesion.rise(placed.direction_zyx, hand)
    depth = placed.depth_mm + wobble_mm + habits.outline_mm + rng.normal(0, 0.2)
    masks = (depth > 0) & placed.lung
    contours = []
    for index, mask in enumerate(masks, placed.box[0].start):
        points = outline(mask)
        if points is not None:
            contours.append((index, points + [placed.box[2].start, placed.box[1].start]))
    return _rate(lesion, habits, rng), contours


def outline(mask: np.ndarray) -> np.ndarray | None:
    """The closed outline of a mask's largest part: the first pixels outside it.

    Args:
        mask: (rows, columns) bool.

    Returns:
        (n, 2) int x, y, an 8-connected chain whose last point is the first again, as LIDC
        draws it; None where the part has less than ``MIN_AREA_PX`` pixels.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    if stats[largest, cv2.CC_STAT_AREA] < MIN_AREA_PX:
        return None
    part = np.pad((labels == largest).astype(np.uint8), 2)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    chains, _ = cv2.findContours(cv2.dilate(part, cross), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = chains[0][:, 0] - 2
    return np.vstack([points, points[:1]])


def _rate(lesion: Lesion, habits: _Habits, rng: np.random.Generator) -> dict[str, int]:
    def rating(value: float, error: float = 0.5) -> int:
        return int(np.clip(np.floor(value + error * rng.normal() + 0.5), 1, 5))

    kinds = {"popcorn": 1, "solid": 3, "central": 5, None: 6}
    return {
        "subtlety": rating(2 + lesion.radius_mm / 3 - 2 * (lesion.solidity < 0.4)),
        "internalStructure": 4 if lesion.cavity else 1,
        "calcification": kinds[lesion.calcium],
        "sphericity": rating(4.6 - 4 * float(np.std(lesion.stretch_zyx))),
        "margin": rating(5.5 - lesion.edge_mm),
        "lobulation": rating(1 + 4 * lesion.lobes),
        "spiculation": rating(1 + 4 * lesion.spikes),
        "texture": rating(1 + 4 * lesion.solidity, 0.3),
        "malignancy": rating(lesion.malignancy + habits.rating_bias, RATING_ERROR),
    }
