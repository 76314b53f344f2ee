"""What became of each series: ``report.json``, and the lines that a tool prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle import __version__
from lungdx_paddle.files import write_text
from lungdx_paddle.lidc import Skipped
from lungdx_paddle.preprocess.window import Window

DONE, FAILED, UNMARKED = "done", "failed", "no annotations"
"""A series' status; unmarked is one for which there is no XML file."""

EXAMPLES = 3
"""How many of many are named in a line, or for a reason."""


@dataclass(frozen=True)
class SeriesReport:
    """One series of the collection."""

    patient_id: str
    series_uid: str
    status: str
    """done, failed or no annotations."""
    reason: str
    """Why it is not done; empty if it is."""
    slices: int
    nodules: int = 0
    crops: int = 0
    crops_in_lung: float | None = None
    """Mean part of a crop's nodule that lies in the lung mask."""
    outlines_without_area: int = 0
    """Outlines left out because half of the slice's readers enclose no pixel."""
    missing_slices: tuple[dict[str, Any], ...] = ()
    """``{"sop_uid": ..., "z_mm": ...}`` of outlined slices that are not there."""
    warnings: tuple[str, ...] = ()
    """What is unusual about its slices."""


@dataclass(frozen=True)
class Report:
    """A whole run of the preprocessing."""

    window: Window | None
    """(centre, width) in HU; None: each series' own."""
    series: tuple[SeriesReport, ...]
    """By patient and series UID."""
    diagnosed_patients: int
    """Patients of the collection for whom the diagnosis table has a row."""
    annotated_elsewhere: int
    """Series that the XML files describe and that are not in the collection."""
    skipped: tuple[Skipped, ...]
    """Files that are neither CT slice nor LIDC XML, with the reason."""
    left_out: tuple[Skipped, ...] = ()
    """Pictures and nodules of the set of slices that gave no crop, with the reason."""
    notes: tuple[str, ...] = ()
    """What to know of all the crops."""

    def having(self, status: str) -> list[SeriesReport]:
        """The series of one status."""
        return [series for series in self.series if series.status == status]

    @property
    def crops(self) -> int:
        """How many crops the manifest lists."""
        return sum(series.crops for series in self.series)

    def write(self, path: Path) -> None:
        """Write ``report.json``, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        content = {
            "lungdx_paddle": __version__,
            "window": self.window or "header",
            "totals": self._totals(),
            "series": [asdict(series) for series in self.series],
            "skipped_files": _by_reason(self.skipped),
            "left_out": [asdict(entry) for entry in self.left_out],
            "notes": list(self.notes),
        }
        write_text(path, json.dumps(content, indent=1) + "\n")

    def summary(self) -> list[str]:
        """The closing lines: totals, then each series that wants attention."""
        totals = self._totals()
        lines = [
            f"{totals['done']} of {len(self.series)} series done: {totals['nodules']} nodules, "
            f"{totals['crops']} crops of {len({s.patient_id for s in self.series})} patients"
        ]
        lines += [f"{s.patient_id}: failed: {s.reason}" for s in self.having(FAILED)]
        unmarked = [s.patient_id for s in self.having(UNMARKED)]
        if unmarked:
            lines.append(f"{len(unmarked)} series without LIDC XML: {_first_few(unmarked)}")
        missing = [s for s in self.series if s.missing_slices]
        lines += [_missing_line(s) for s in missing[:EXAMPLES]]
        if len(missing) > EXAMPLES:
            lines.append(f"{len(missing) - EXAMPLES} more series lack slices, see report.json")
        lines += [f"{s.patient_id}: {warning}" for s in self.series for warning in s.warnings]
        if not self.diagnosed_patients:
            lines.append("no patient stands in a diagnosis table: the crops lack pathology labels")
        if self.left_out:
            lines.append(f"{len(self.left_out)} pictures and nodules left out, see report.json")
        lines += self.notes
        if self.skipped:
            lines.append(f"{len(self.skipped)} files skipped, see report.json")
        return lines

    def _totals(self) -> dict[str, int]:
        return {
            "series": len(self.series),
            "done": len(self.having(DONE)),
            "failed": len(self.having(FAILED)),
            "no_annotations": len(self.having(UNMARKED)),
            "diagnosed_patients": self.diagnosed_patients,
            "annotated_elsewhere": self.annotated_elsewhere,
            "slices": sum(series.slices for series in self.series),
            "nodules": sum(series.nodules for series in self.series),
            "crops": self.crops,
            "missing_slices": sum(len(series.missing_slices) for series in self.series),
            "outlines_without_area": sum(s.outlines_without_area for s in self.series),
            "skipped_files": len(self.skipped),
        }


def _missing_line(series: SeriesReport) -> str:
    places = [f"{s['sop_uid']} at z {s['z_mm']:g} mm" for s in series.missing_slices]
    return (
        f"{series.patient_id}: {len(places)} slices of the XML are not in the collection: "
        f"{_first_few(places)}"
    )


def _first_few(items: Sequence[str]) -> str:
    more = len(items) - EXAMPLES
    return ", ".join(items[:EXAMPLES]) + (f" and {more} more" if more > 0 else "")


def _by_reason(skipped: Sequence[Skipped]) -> dict[str, dict[str, Any]]:
    """``{reason: {"files": count, "for example": [...]}}``, the most frequent first."""
    paths: dict[str, list[str]] = {}
    for file in skipped:
        # What follows a colon or names another file differs from file to file.
        reason = file.reason.split(":")[0].split(" /")[0]
        paths.setdefault(reason, []).append(f"{file.path}: {file.reason}")
    most_first = sorted(paths.items(), key=lambda item: (-len(item[1]), item[0]))
    return {
        reason: {"files": len(found), "for example": found[:EXAMPLES]}
        for reason, found in most_first
    }
