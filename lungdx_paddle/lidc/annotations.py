"""Read LIDC XML files: what each reader marked in a CT series, verbatim.

The format is that of the LIDC read message (``LidcReadMessage.xsd``, Armato et al. 2011,
doi 10.1118/1.3528204).  :mod:`lungdx_paddle.lidc.nodules` finds which readings show the
same lesion.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as safe_xml

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.readings import CHARACTERISTICS, Annotations, Contour, Mark, Reading
from lungdx_paddle.lidc.sources import FEW_FILES, Skipped, SourceFile, list_files
from lungdx_paddle.progress import bar

__all__ = ["Annotations", "Contour", "Mark", "Reading", "find_annotations", "read_annotations"]

LARGEST_XML_BYTES = 64 * 2**20
"""More than 20 times the largest LIDC file; what is larger is not one and may fill the memory."""

LARGEST_COORDINATE = 8191
"""No CT matrix is larger (LIDC: 511); a mask is as large as the coordinates say."""

CT_ROOT, XRAY_ROOT = "LidcReadMessage", "IdriReadMessage"
"""Name of the outermost element, behind its namespace."""

XRAY = "a chest X-ray reading, no CT"
COPY = "one more XML file of a series, whose most complete one is used"
"""Why files that are sound are left out: 283 and 17 of the 1318 that TCIA ships."""


def read_annotations(source: str | Path | tuple[str, bytes]) -> Annotations:
    """Read one LIDC XML file.

    Args:
        source: its path, or its name and its bytes.

    Raises:
        LidcError: it cannot be read, is cut off, declares entities or a document type,
            is no CT reading, or holds something other than a number where one belongs.
    """
    if not isinstance(source, tuple):
        source = str(source), SourceFile(Path(source)).read_bytes(LARGEST_XML_BYTES + 1)
    name, data = source
    root = _parse(name, data)
    if not root.tag.endswith(CT_ROOT):
        found = XRAY if root.tag.endswith(XRAY_ROOT) else f"<{root.tag}>"
        raise _error(name, found, expected=f"a CT reading ({CT_ROOT})", fix="leave the file out")
    return _Walk(name, root).annotations()


def find_annotations(source: Path) -> tuple[dict[str, Annotations], list[Skipped]]:
    """Read every LIDC XML file below a folder or in a zip archive.

    Several files of one series count once: six series have up to six near-identical
    copies.  The one kept has the most sessions, then the most readings, then the most
    outline points; among equals it is the first by name.

    Args:
        source: a folder, a zip archive or one XML file.

    Returns:
        Annotations by series instance UID in the order of the names, and what was left
        out: chest X-ray files, copies, and files that could not be read.

    Raises:
        LidcError: there is no such path.
    """
    files, skipped = list_files(source)
    files = [file for file in files if file.suffix == ".xml"]
    found: dict[str, Annotations] = {}
    for file in bar(files, desc="XML", unit="file", disable=len(files) < FEW_FILES, leave=False):
        try:
            new = read_annotations((str(file), file.read_bytes(LARGEST_XML_BYTES + 1)))
        except LidcError as error:
            reason = XRAY if XRAY in str(error) else str(error).removeprefix(f"{file}: ")
            skipped.append(Skipped(str(file), reason))
            continue
        old = found.setdefault(new.series_uid, new)
        if old is not new:
            worse, better = sorted((new, old), key=_completeness)
            found[new.series_uid] = better
            skipped.append(Skipped(worse.source, f"{COPY}: {better.source}"))
    return found, skipped


def _completeness(annotations: Annotations) -> tuple[int, int, int]:
    points = sum(len(c.points_xy) for r in annotations.readings for c in r.contours)
    return annotations.readers, len(annotations.readings), points


def _parse(name: str, data: bytes) -> Element:
    try:
        if len(data) > LARGEST_XML_BYTES:
            raise ValueError(f"more than {LARGEST_XML_BYTES} bytes")
        root: Element = safe_xml.fromstring(data, forbid_dtd=True)
        return root
    except DefusedXmlException as error:
        found = f"a document type or entity ({type(error).__name__})"
    except ParseError as error:
        found = f"broken or cut off XML ({error})"
    except (ValueError, LookupError) as error:  # an encoding that does not exist
        found = str(error)
    raise _error(name, found, expected="a LIDC XML file", fix="download the file again")


def _error(
    where: str, found: str, *, expected: str, fix: str = "leave the file out or correct it"
) -> LidcError:
    return LidcError(where, expected=expected, found=found, fix=fix)


class _Walk:
    """Walks one parsed file; knows its name for messages and its XML namespace."""

    def __init__(self, name: str, root: Element) -> None:
        self.name = name
        self.root = root
        self.space = root.tag[: root.tag.index("}") + 1] if "}" in root.tag else ""

    def annotations(self) -> Annotations:
        sessions = self.root.findall(self.space + "readingSession")
        readings: list[Reading] = []
        small: list[Mark] = []
        non_nodules: list[Mark] = []
        for number, session in enumerate(sessions):
            for nodule in session.findall(self.space + "unblindedReadNodule"):
                contours = tuple(self._contour(e) for e in nodule.findall(self.space + "roi"))
                name, ratings = self._text(nodule, "noduleID"), self._ratings(nodule)
                reading = Reading(number, name, ratings, contours)
                # A nodule under 3 mm is one point; some carry an empty <characteristics/> or
                # ratings of 0 all the same, and some nodules with outlines have no ratings: the
                # outline decides.
                if any(len(contour.points_xy) > 1 for contour in contours):
                    readings.append(reading)
                else:
                    small.extend(_marks(reading))
            for finding in session.findall(self.space + "nonNodule"):
                name = self._text(finding, "nonNoduleID")
                non_nodules += _marks(Reading(number, name, {}, (self._contour(finding),)))
        return Annotations(
            series_uid=self._header("SeriesInstanceUid"),
            study_uid=self._header("StudyInstanceUID"),
            readers=len(sessions),
            readings=tuple(readings),
            small_nodules=tuple(small),
            non_nodules=tuple(non_nodules),
            source=self.name,
        )

    def _header(self, tag: str) -> str:
        found = self.root.findtext(f"{self.space}ResponseHeader/{self.space}{tag}", "").strip()
        if not found:
            raise _error(self.name, "none", expected=f"a {tag} in the ResponseHeader")
        return found

    def _ratings(self, nodule: Element) -> Mapping[str, int]:
        # <characteristics> may be absent or empty, and ratings of 0 stand for "not rated".
        ratings: dict[str, int] = {}
        for block in nodule.findall(self.space + "characteristics"):
            for name, highest in CHARACTERISTICS.items():
                text = self._text(block, name) or "0"
                rating = text.removesuffix(".0")  # as spreadsheets write it
                if len(rating) > 1 or not rating.isdecimal() or int(rating) > highest:
                    wanted = f"a {name} from 0 to {highest}"
                    raise _error(self.name, repr(text[:20]), expected=wanted)
                if rating != "0":
                    ratings[name] = int(rating)
        return ratings

    def _contour(self, roi: Element) -> Contour:
        try:
            x = [int(e.text or "") for e in roi.iter(self.space + "xCoord")]
            y = [int(e.text or "") for e in roi.iter(self.space + "yCoord")]
            if len(x) != len(y):
                raise ValueError(f"{len(x)} x and {len(y)} y")
            points_xy = np.array((x, y), np.int64).T
        except (ValueError, OverflowError) as error:
            raise _error(self.name, str(error), expected="pairs of pixel coordinates") from error
        if points_xy.size and not 0 <= points_xy.min() <= points_xy.max() <= LARGEST_COORDINATE:
            found = f"{points_xy.min()} to {points_xy.max()}"
            wanted = f"pixel coordinates from 0 to {LARGEST_COORDINATE}"
            raise _error(self.name, found, expected=wanted)
        try:
            z_mm: float | None = float(self._text(roi, "imageZposition"))
        except ValueError:
            z_mm = None
        return Contour(
            sop_uid=self._text(roi, "imageSOP_UID"),
            z_mm=z_mm if z_mm is not None and np.isfinite(z_mm) else None,
            inclusion=self._text(roi, "inclusion").upper() != "FALSE",
            points_xy=np.ascontiguousarray(points_xy, np.int32),
        )

    def _text(self, parent: Element, tag: str) -> str:
        # UIDs and z positions carry white space around them.
        return (parent.findtext(self.space + tag) or "").strip()


def _marks(reading: Reading) -> list[Mark]:
    return [
        Mark(reading.reader, reading.nodule_id, c.sop_uid, c.z_mm, (int(x), int(y)))
        for c in reading.contours
        for x, y in c.points_xy[:1]
    ]
