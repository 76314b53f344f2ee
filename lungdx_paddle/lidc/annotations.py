"""Every LIDC XML file of a folder or archive: the one of each series that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.lidc.read_xml import XRAY, is_marks, read_annotations
from lungdx_paddle.lidc.readings import Annotations
from lungdx_paddle.lidc.sources import FEW_FILES, Skipped, SourceFile, list_files
from lungdx_paddle.lidc.xml_elements import LARGEST_XML_BYTES
from lungdx_paddle.progress import bar
from lungdx_paddle.workers import run_all

COPY = "one more XML file of a series, whose most complete one is used"
"""Why 17 of the 1318 files are left out that TCIA ships: they say the same as another."""

DIFFERENT = "says something else than the XML file of its series that counts"
"""Why a file is left out that may be a correction of the other."""

COMPLETENESS = ("reading sessions", "readings", "outline points")
"""What decides which of several files of a series counts, the first that is not the same."""


@dataclass(frozen=True)
class LeftOutXml(Skipped):
    """An XML file whose marks do not count although somebody may rely on them.

    It is named on the screen, where other files are only counted.
    """


def find_annotations(
    source: Path, pool: Executor | None = None
) -> tuple[dict[str, Annotations], list[Skipped]]:
    """Read every LIDC XML file below a folder or in a zip archive, whatever its name.

    Of several files of one series one counts: that with the most sessions, then the most
    readings, then the most outline points; among equals it is the first by name.

    Args:
        source: a folder, a zip archive or one XML file.
        pool: reads the files of a large collection; None: this process.

    Returns:
        Annotations by series instance UID in the order of the names, and what was left
        out: chest X-ray files, copies, and as :class:`LeftOutXml` files that say something
        else than the one that counts, or could not be read.

    Raises:
        LidcError: there is no such path.
    """
    files, skipped = list_files(source)
    # A file that was named alone is read whatever it is called, unless it is the scan itself.
    alone = [file for file in files if file == SourceFile(Path(source)) and not file.is_dicom]
    files = alone or [file for file in files if is_marks(file)]
    found: dict[str, list[Annotations]] = {}
    few = len(files) < FEW_FILES
    results = run_all(pool, _read, files, here=20)  # 0.01 to 0.03 s each
    for new in bar(results, total=len(files), desc="XML", unit="file", disable=few, leave=False):
        if isinstance(new, Skipped):
            skipped.append(new)
        else:
            found.setdefault(new.series_uid, []).append(new)
    for of_series in found.values():
        of_series.sort(key=_completeness, reverse=True)  # equal ones stay in the order of names
        skipped.extend(_left_out(of_series[0], of_series[1:]))
    skipped.sort(key=lambda file: file.path)
    return {series_uid: of_series[0] for series_uid, of_series in found.items()}, skipped


def _read(file: SourceFile) -> Annotations | Skipped:
    try:
        return read_annotations((str(file), file.read_bytes(LARGEST_XML_BYTES + 1)))
    except LidcError as error:
        reason = str(error).removeprefix(f"{file}: ")
        is_xray = XRAY in reason
        return Skipped(str(file), XRAY) if is_xray else LeftOutXml(str(file), reason)


def _completeness(annotations: Annotations) -> tuple[int, int, int]:
    points = sum(len(contour.points_xy) for contour in annotations.contours)
    return annotations.readers, len(annotations.readings), points


def _left_out(best: Annotations, others: Sequence[Annotations]) -> Iterator[Skipped]:
    """Why each of the other files of a series does not count."""
    for other in others:
        if other.content == best.content:
            yield Skipped(other.source, f"{COPY}: {best.source}")
            continue
        counts = zip(COMPLETENESS, _completeness(best), _completeness(other))
        more = [f"has more {noun} ({own}, not {its})" for noun, own, its in counts if own != its]
        why = more[0] if more else "comes first by name"
        reason = f"{DIFFERENT}: {best.source}, which {why}; leave one of them out"
        yield LeftOutXml(other.source, reason)
