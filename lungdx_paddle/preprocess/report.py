"""Outcome of each series of a preprocessing run: ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from lungdx_paddle import __version__
from lungdx_paddle.errors import LidcError, LungdxError, OutputError
from lungdx_paddle.files import write_text
from lungdx_paddle.lidc import Skipped
from lungdx_paddle.lidc.annotations import LeftOutXml
from lungdx_paddle.preprocess.window import Window
from lungdx_paddle.words import EXAMPLES

DONE, FAILED, UNMARKED = "done", "failed", "no annotations"
"""A series' status; unmarked is one for which there is no XML file."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SeriesReport:
    """One series of the collection."""

    patient_id: str
    series_uid: str
    status: str
    """done, failed or no annotations."""
    reason: str
    """Why it is not done, or has no crop; else empty."""
    slices: int
    nodules: int = 0
    crops: int = 0
    outlines_without_area: int = 0
    """Outlines left out because half of the slice's readers enclose no pixel."""
    missing_slices: tuple[dict[str, Any], ...] = ()
    """``{"sop_uid": ..., "z_mm": ...}`` of outlined slices that are not there; the position is
    null where the XML has none."""
    warnings: tuple[str, ...] = ()
    """What is unusual about its slices, its XML file and how they fit."""


@dataclass(frozen=True, repr=False)
class Report:
    """Report of a whole preprocessing run."""

    crop: str
    """The rule of the crops."""
    window: Window | str
    """(centre, width) in HU; header: each series' own; stretched: gray values are no HU."""
    series: tuple[SeriesReport, ...]
    """By patient and series UID."""
    diagnosed_patients: int
    """Patients of the collection for whom the diagnosis table has a row."""
    elsewhere: tuple[str, ...]
    """UIDs of series that the XML files describe and that are not in the collection."""
    skipped: tuple[Skipped, ...]
    """Files that are neither CT slice nor LIDC XML of one, with the reason."""
    left_out: tuple[Skipped, ...] = ()
    """Pictures and nodules of the public slices that gave no crop, with the reason."""
    diagnosis_notes: tuple[str, ...] = ()
    """What is doubtful about the diagnosis table: IDs that fit nobody, rows without a code."""
    hu_from: Mapping[str, int] = field(default_factory=dict)
    """Of the public slices: how many crops have their HU from where, as the manifest says it."""

    def __repr__(self) -> str:
        named = ", ".join(f"{number} {name}" for name, number in self.totals().items() if number)
        return f"Report({self.crop} crops: {named})"

    def having(self, status: str) -> list[SeriesReport]:
        """The series of one status."""
        return [series for series in self.series if series.status == status]

    @property
    def crops(self) -> int:
        """How many crops the manifest lists."""
        return sum(series.crops for series in self.series)

    def totals(self) -> dict[str, int]:
        """The numbers of the whole run, by name."""
        return {
            "series": len(self.series),
            "done": len(self.having(DONE)),
            "failed": len(self.having(FAILED)),
            "no_annotations": len(self.having(UNMARKED)),
            "diagnosed_patients": self.diagnosed_patients,
            "annotated_elsewhere": len(self.elsewhere),
            "slices": sum(series.slices for series in self.series),
            "nodules": sum(series.nodules for series in self.series),
            "crops": self.crops,
            "missing_slices": sum(len(series.missing_slices) for series in self.series),
            "outlines_without_area": sum(s.outlines_without_area for s in self.series),
            "skipped_files": len(self.skipped),
        }

    def write(self, path: Path) -> None:
        """Write ``report.json``, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        skipped = sorted(by_reason(self.skipped).items(), key=lambda item: (-len(item[1]), item[0]))
        content = {
            "lungdx_paddle": __version__,
            "crop": self.crop,
            "window": self.window,
            "totals": self.totals(),
            "hu_from": self.hu_from,
            "diagnosis_notes": self.diagnosis_notes,
            "series": [asdict(series) for series in self.series],
            "skipped_files": {
                reason: {
                    "files": len(files),
                    "for example": [f"{file.path}: {file.reason}" for file in files[:EXAMPLES]],
                }
                for reason, files in skipped
            },
            "left_out_by_reason": {r: len(them) for r, them in by_reason(self.left_out).items()},
            "left_out": [asdict(entry) for entry in self.left_out],
        }
        write_text(path, json.dumps(content, indent=1) + "\n")


def by_reason(skipped: Sequence[Skipped]) -> dict[str, list[Skipped]]:
    """Files grouped by why they were left out."""
    grouped: dict[str, list[Skipped]] = {}
    for file in skipped:
        # What follows a colon or names another file differs from file to file.
        grouped.setdefault(file.reason.split(":")[0].split(" as ")[0], []).append(file)
    return grouped


def attempt(function: Callable[[Item], Result], item: Item) -> Result | str:
    """``function(item)``, or why it failed: one bad series must not cost the others.

    Raises:
        OutputError: nothing can be written, which concerns all of them.
    """
    try:
        return function(item)
    except OutputError:
        raise
    except LungdxError as error:
        return str(error)
    except Exception as error:  # whatever is wrong with one series
        return f"{type(error).__name__}: {error}"


def check_found(
    source: Path, found: Collection[Any], skipped: Sequence[Skipped], *, expected: str, fix: str
) -> None:
    """Check that something was found in a source.

    Raises:
        LidcError: nothing was found; it names the first of the files that were left out.
    """
    if not found:
        telling = [file for file in skipped if isinstance(file, LeftOutXml)] or skipped
        first = f" ({telling[0].path}: {telling[0].reason})" if skipped else ""
        raise LidcError(
            str(source), expected=expected, found=f"none in {len(skipped)} files{first}", fix=fix
        )


def check_crops(source: Path, report: Report) -> None:
    """Check that a run gave a crop.

    Raises:
        LidcError: it gave none; it names a series that failed, or else one that has nothing to
            cut out, with the reason.
    """
    if report.crops:
        return
    failed, done = report.having(FAILED), report.having(DONE)
    if failed:
        found = f"{len(failed)} that cannot, the first because {failed[0].reason}"
        expected = "at least one series that can be read"
    else:
        why = "; ".join((done[0].reason, *done[0].warnings))
        found = f"none in {len(done)} series, the first because {why}"
        expected = "outlined nodules in its slices"
    raise LidcError(str(source), expected=expected, found=found, fix="report.json has all reasons")
