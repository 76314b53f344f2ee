"""Every LIDC XML file of a folder or archive: the one of each series that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.annotations import XRAY, read_annotations
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.lidc.sources import FEW_FILES, Skipped, list_files
from lungdx_paddle.lidc.xml_elements import LARGEST_XML_BYTES
from lungdx_paddle.progress import bar

COPY = "a copy: another XML file of its series says the same"
"""Why 17 of the 1318 files are left out that TCIA ships."""


@dataclass(frozen=True)
class LeftOutXml(Skipped):
    """An XML file whose marks do not count although somebody may rely on them.

    It is named on the screen, where other files are only counted.
    """


def find_annotations(source: Path) -> tuple[dict[str, Annotations], list[Skipped]]:
    """Read every LIDC XML file below a folder or in a zip archive.

    Of several files of one series one counts: that with the most sessions, then the most
    readings, then the most outline points; among equals it is the first by name.

    Args:
        source: a folder, a zip archive or one XML file.

    Returns:
        Annotations by series instance UID in the order of the names, and what was left
        out: chest X-ray files, copies, and as :class:`LeftOutXml` files that say something
        else than the one that counts, or could not be read.

    Raises:
        LidcError: there is no such path.
    """
    files, skipped = list_files(source)
    files = [file for file in files if file.suffix == ".xml"]
    found: dict[str, list[Annotations]] = {}
    for file in bar(files, desc="XML", unit="file", disable=len(files) < FEW_FILES, leave=False):
        try:
            new = read_annotations((str(file), file.read_bytes(LARGEST_XML_BYTES + 1)))
        except LidcError as error:
            reason = str(error).removeprefix(f"{file}: ")
            is_xray = XRAY in reason
            skipped.append(Skipped(str(file), XRAY) if is_xray else LeftOutXml(str(file), reason))
        else:
            found.setdefault(new.series_uid, []).append(new)
    for of_series in found.values():
        of_series.sort(key=_completeness, reverse=True)  # equal ones stay in the order of names
        skipped.extend(_left_out(of_series[0], of_series[1:]))
    return {series_uid: of_series[0] for series_uid, of_series in found.items()}, skipped


def _completeness(annotations: Annotations) -> tuple[int, int, int]:
    points = sum(len(c.points_xy) for r in annotations.readings for c in r.contours)
    return annotations.readers, len(annotations.readings), points


def _left_out(best: Annotations, others: Sequence[Annotations]) -> Iterator[Skipped]:
    """Why each of the other files of a series does not count."""
    for other in others:
        if other.content == best.content:
            yield Skipped(other.source, COPY)
            continue
        why = "comes first by name"
        for noun, more, fewer in zip(
            ("sessions", "readings", "points"), _completeness(best), _completeness(other)
        ):
            if more != fewer:
                why = f"has more {noun} ({more}, not {fewer})"
                break
        yield LeftOutXml(
            other.source,
            f"says something else than {best.source} of the same series, "
            f"which counts since it {why}; leave one of them out",
        )
