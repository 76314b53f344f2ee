"""Read LIDC XML files: what each reader marked in a CT series, verbatim.

The format is that of the LIDC read message (``LidcReadMessage.xsd``, Armato et al. 2011,
doi 10.1118/1.3528204).  :mod:`lungdx_paddle.lidc.nodules` finds which readings show the
same lesion.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.readings import CHARACTERISTICS, Annotations, Contour, Mark, Reading
from lungdx_paddle.lidc.sources import SourceFile, list_files
from lungdx_paddle.lidc.xml_elements import (
    LARGEST_XML_BYTES,
    Content,
    children,
    parse_xml,
    text_of,
    whole_number,
)
from lungdx_paddle.words import count_of

MOST_READINGS = 500
"""Of one file: ten times the most in LIDC (49).  Each is compared with each."""

MOST_OUTLINED_PX = 2 * 10**7
"""Of the rectangles around a file's outlines: 75 times the most in LIDC, a second's work."""

LARGEST_COORDINATE = 8191
"""No CT matrix is larger (LIDC: 511)."""

LARGEST_Z_MM = 10**5
"""No scanner's table reaches so far: such a number is no position."""

USUAL_READERS = 4
"""Of a LIDC series.  Of more sessions, those that say the same as another are repetitions."""

CT_ROOT, XRAY_ROOT = "LidcReadMessage", "IdriReadMessage"
"""Name of the outermost element, behind its namespace."""

XRAY = "a chest X-ray reading, no CT"
"""What 283 of the 1318 files are that TCIA ships."""

INCLUSION = {"": True, "TRUE": True, "1": True, "FALSE": False, "0": False}
"""What stands in ``<inclusion>``, in capitals."""

_DECIMAL = re.compile(r"[+-]?[0-9]{1,20}(?:[.,][0-9]{0,20})?(?:[eE][+-]?[0-9]{1,2})?")


def read_annotations(source: str | Path | tuple[str, bytes]) -> Annotations:
    """Read one LIDC XML file.

    Numbers may be written as spreadsheets do (``3.0``, ``3,0``), elements be in any namespace.
    A session that repeats another one, in a file of more than four, does not count.

    Args:
        source: its path, that of a folder or zip archive with no other, or its name and its bytes.

    Raises:
        LidcError: it cannot be read, is cut off or too large, declares entities or a document
            type, is no CT reading, or holds something other than a number where one belongs.
    """
    if not isinstance(source, tuple):
        source = _only_file(Path(source))
    name, data = source
    outermost, content = parse_xml(name, data)
    if outermost != CT_ROOT:
        found = XRAY if outermost == XRAY_ROOT else f"<{outermost[:80]}>"
        raise LidcError(name, f"a CT reading ({CT_ROOT})", found, fix="leave the file out")
    return _Walk(name).annotations(content)


def is_marks(file: SourceFile) -> bool:
    """Whether a file is to be read as LIDC XML: by its ending, or else by its outermost element."""
    if file.suffix in (".dcm", ".xml"):
        return file.suffix == ".xml"
    start = file.start.replace(b"\0", b"")  # UTF-16
    return CT_ROOT.encode() in start or XRAY_ROOT.encode() in start


def _only_file(source: Path) -> tuple[str, bytes]:
    """The one XML file that a path means, or is a folder or archive of: its name and its bytes."""
    files, _ = list_files(source)
    if files != [SourceFile(source)]:
        files = [file for file in files if is_marks(file)]
    if len(files) != 1:
        found = f"{len(files)} such files in a folder or archive"
        raise LidcError(str(source), "one LIDC XML file", found, fix="name the file of the series")
    return str(files[0]), files[0].read_bytes(LARGEST_XML_BYTES + 1)


@dataclass(frozen=True, eq=False)
class _Session:
    """What one reader marked."""

    readings: list[Reading] = field(default_factory=list)
    small_nodules: list[Mark] = field(default_factory=list)
    non_nodules: list[Mark] = field(default_factory=list)


class _Walk:
    """Walks one parsed file; knows its name for messages, and notes positions without number."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error = partial(LidcError, name, fix="leave the file out or correct it")
        self.odd_z: list[str] = []
        self.outlined_px = 0

    def annotations(self, root: Content) -> Annotations:
        headers = children(root, "ResponseHeader")
        series_uid, study_uid = (
            self._uid(headers, tag) for tag in ("SeriesInstanceUid", "StudyInstanceUID")
        )
        sessions = [self._session(n, e) for n, e in enumerate(children(root, "readingSession"))]
        kept, warnings = _without_repetitions(sessions)
        if not sessions:
            warnings.append("no reading session in the XML file")
        readings = tuple(reading for session in kept for reading in session.readings)
        if len(readings) > MOST_READINGS:
            raise self.error(f"at most {MOST_READINGS} readings", str(len(readings)))
        if self.odd_z:
            outlines = count_of(len(self.odd_z), "outline")
            warnings.append(f"{outlines} whose z is no number, such as {self.odd_z[0]!r}")
        return Annotations(
            series_uid=series_uid,
            study_uid=study_uid,
            readers=len(kept),
            readings=readings,
            small_nodules=tuple(mark for session in kept for mark in session.small_nodules),
            non_nodules=tuple(mark for session in kept for mark in session.non_nodules),
            source=self.name,
            warnings=tuple(warnings),
        )

    def _uid(self, headers: Sequence[Content], tag: str) -> str:
        found = next(filter(None, (text_of(header, tag) for header in headers)), "")
        if not found:
            raise self.error(f"a {tag} in the ResponseHeader", "none")
        return found

    def _session(self, number: int, session: Content) -> _Session:
        found = _Session()
        for nodule in children(session, "unblindedReadNodule"):
            contours = tuple(self._contour(e) for e in children(nodule, "roi"))
            ratings = self._ratings(children(nodule, "characteristics"))
            reading = Reading(number, text_of(nodule, "noduleID"), ratings, contours)
            if not any(len(contour.points_xy) for contour in contours):
                nodule_id = repr(reading.nodule_id[:20])
                raise self.error(f"an outline or a point of nodule {nodule_id}", "none")
            # A nodule under 3 mm is one point; some carry an empty <characteristics/> or
            # ratings of 0 all the same, and some nodules with outlines have no ratings: the
            # outline decides.
            if any(len(contour.points_xy) > 1 for contour in contours):
                found.readings.append(reading)
            else:
                found.small_nodules.extend(_marks(reading))
        for finding in children(session, "nonNodule"):
            name = text_of(finding, "nonNoduleID")
            mark = Reading(number, name, {}, (self._contour(finding),))
            found.non_nodules.extend(_marks(mark))
        return found

    def _ratings(self, blocks: Sequence[Content]) -> Mapping[str, int]:
        # <characteristics> may be absent or empty, and ratings of 0 stand for "not rated".
        ratings: dict[str, int] = {}
        entries = (entry for block in blocks if not isinstance(block, str) for entry in block)
        for name, content in entries:
            if name not in CHARACTERISTICS:
                continue
            text = content.strip() or "0" if isinstance(content, str) else "elements"
            try:
                rating = whole_number(text)
            except ValueError:
                rating = -1
            if not 0 <= rating <= CHARACTERISTICS[name]:
                raise self.error(f"a {name} from 0 to {CHARACTERISTICS[name]}", repr(text[:20]))
            if rating and ratings.setdefault(name, rating) != rating:
                raise self.error(f"one {name} of a nodule", f"{ratings[name]} and {rating}")
        return {name: ratings[name] for name in CHARACTERISTICS if name in ratings}

    def _contour(self, roi: Content) -> Contour:
        points_xy = self._points_xy(roi)
        sop_uid = text_of(roi, "imageSOP_UID")
        if not sop_uid:
            raise self.error("an imageSOP_UID of each outline", "none")
        inclusion = text_of(roi, "inclusion")
        if inclusion.upper() not in INCLUSION:
            raise self.error("TRUE or FALSE as inclusion", repr(inclusion[:20]))
        return Contour(
            sop_uid=sop_uid,
            z_mm=self._z_mm(text_of(roi, "imageZposition")),
            inclusion=INCLUSION[inclusion.upper()],
            points_xy=points_xy,
        )

    def _z_mm(self, text: str) -> float | None:
        z_mm = float(text.replace(",", ".")) if _DECIMAL.fullmatch(text) else np.inf
        if abs(z_mm) > LARGEST_Z_MM:
            self.odd_z.append(text[:20])
            return None
        return z_mm

    def _points_xy(self, roi: Content) -> np.ndarray:
        """The points of an outline, (n, 2) int32; each edge holds pairs of x and y."""
        edges = [] if isinstance(roi, str) else [e for _, e in roi if not isinstance(e, str)]
        try:
            points = [_point(edge) for edge in edges]
        except ValueError as error:
            wanted = "whole pixel coordinates, an x and a y for each point"
            raise self.error(wanted, str(error)) from error
        points_xy = np.array(points, np.int32).reshape(-1, 2)
        if points:
            left, top = points_xy.min(axis=0).tolist()
            right, bottom = points_xy.max(axis=0).tolist()
            if min(left, top) < 0 or max(right, bottom) > LARGEST_COORDINATE:
                found = f"{min(left, top)} to {max(right, bottom)}"
                wanted = f"pixel coordinates from 0 to {LARGEST_COORDINATE}"
                raise self.error(wanted, found)
            self.outlined_px += (right - left + 1) * (bottom - top + 1)
        if self.outlined_px > MOST_OUTLINED_PX:
            raise self.error(f"outlines around {MOST_OUTLINED_PX} pixels in all at most", "more")
        return points_xy


def _point(edge: list[tuple[str, Content]]) -> tuple[int, int]:
    """X and y of an ``<edgeMap>`` or ``<locus>``; ValueError if missing, twice or not whole."""
    entries = dict(edge)
    if len(entries) < len(edge):
        raise ValueError(f"{len(edge)} coordinates")
    x, y = entries.get("xCoord", ""), entries.get("yCoord", "")
    return whole_number(str(x)), whole_number(str(y))


def _without_repetitions(sessions: Sequence[_Session]) -> tuple[list[_Session], list[str]]:
    """The sessions that count, and what is to be told of those that say the same as another.

    Readers outline by hand: in LIDC no two sessions with an outline are the same.  What is
    above the usual number of sessions is a copy and left out.  Among the usual ones it counts,
    with a word where the others' outlines show that they were not made by a program.
    """
    first: dict[object, int] = {}
    repeated: dict[int, int] = {}  # session: the earlier one that says the same
    outlines = set()
    for number, session in enumerate(sessions):
        if session.readings:
            original = first.setdefault(tuple(r.content for r in session.readings), number)
            contours = (c for reading in session.readings for c in reading.contours)
            outlines.add(tuple((c.sop_uid, c.points_xy.tobytes()) for c in contours))
            if original != number:
                repeated[number] = original
    dropped = sorted(repeated, reverse=True)[: max(0, len(sessions) - USUAL_READERS)]
    kept = sorted(set(repeated) - set(dropped)) if len(outlines) > 1 else []
    warnings = []
    for numbers, what in (dropped, "left out"), (kept, "counted all the same"):
        if numbers:
            example = f"session {numbers[0] + 1} is session {repeated[numbers[0]] + 1}"
            repetitions = count_of(len(numbers), "repetition")
            warnings.append(
                f"{repetitions} among {len(sessions)} reading sessions ({example}): {what}"
            )
    return [s for number, s in enumerate(sessions) if number not in dropped], warnings


def _marks(reading: Reading) -> list[Mark]:
    return [
        Mark(reading.reader, reading.nodule_id, c.sop_uid, c.z_mm, (int(x), int(y)))
        for c in reading.contours
        for x, y in c.points_xy[:1]
    ]
