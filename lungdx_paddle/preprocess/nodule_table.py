"""LIDC XML alone -> ``nodules.csv``: which nodules there are and how they were rated."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.errors import LidcError
from lungdx_paddle.files import writable_folder, write_text
from lungdx_paddle.lidc import Annotations, Nodule, Skipped, find_annotations, group_readings
from lungdx_paddle.lidc.catalogue import USUAL_PIXEL_SPACING_MM, known_series

COLUMNS = ("series_uid", "nodule", "readers", "malignancy_ratings", "contours")


@dataclass(frozen=True)
class NoduleTable:
    """What ``nodules.csv`` was made of."""

    series: int
    nodules: int
    readings: int
    unknown: int
    """Series that LIDC-IDRI's table does not know; their pixel spacing was assumed."""
    skipped: tuple[Skipped, ...]
    """Files that were left out, with the reason."""

    def summary(self) -> list[str]:
        """The closing lines."""
        lines = [f"{self.nodules} nodules of {self.readings} readings in {self.series} series"]
        if self.unknown:
            lines.append(
                f"{self.unknown} series are not LIDC-IDRI's: pixels of "
                f"{USUAL_PIXEL_SPACING_MM:g} mm assumed"
            )
        reasons: dict[str, int] = {}
        for file in self.skipped:
            reason = file.reason.split(" of ")[0]
            reasons[reason] = reasons.get(reason, 0) + 1
        return lines + [f"{count} files left out: {reason}" for reason, count in reasons.items()]


def write_nodule_table(xml: Path, out: Path) -> NoduleTable:
    """Group the readings of every LIDC XML file and write ``nodules.csv``; needs no DICOM.

    Nodules are numbered as :func:`lungdx_paddle.preprocess.pipeline.preprocess` does:
    through a patient's series, by UID.

    Args:
        xml: folder or zip archive of LIDC XML files.
        out: folder of ``nodules.csv``; one row a nodule: series_uid, nodule, readers (who
            marked it), malignancy_ratings (``5;5;4``), contours (of all its readers).

    Raises:
        LidcError: no such path, or no CT reading in it.
        OutputError: ``out`` cannot be written to.
    """
    xml, out = Path(xml), writable_folder(Path(out))
    annotations, skipped = find_annotations(xml)
    if not annotations:
        raise LidcError(
            str(xml),
            expected="LIDC XML files of CT series",
            found=f"none, {len(skipped)} files left out",
            fix="give the folder or archive of the XML files",
        )
    grouped = {uid: _group(annotations[uid]) for uid in sorted(annotations, key=_patient_first)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_rows(grouped))
    write_text(out / "nodules.csv", text.getvalue())
    return NoduleTable(
        series=len(annotations),
        nodules=sum(map(len, grouped.values())),
        readings=sum(len(a.readings) for a in annotations.values()),
        unknown=len(set(annotations) - set(known_series())),
        skipped=tuple(skipped),
    )


def _patient(series_uid: str) -> str:
    facts = known_series().get(series_uid)
    return facts.patient_id if facts else series_uid


def _patient_first(series_uid: str) -> tuple[str, str]:
    return _patient(series_uid), series_uid


def _group(annotations: Annotations) -> list[Nodule]:
    facts = known_series().get(annotations.series_uid)
    if facts is None:
        return group_readings(annotations, USUAL_PIXEL_SPACING_MM)
    return group_readings(annotations, facts.pixel_spacing_mm, facts.slice_spacing_mm)


def _rows(grouped: dict[str, list[Nodule]]) -> list[Sequence[str | int]]:
    rows: list[Sequence[str | int]] = []
    numbered: dict[str, int] = {}
    for series_uid, nodules in grouped.items():
        first = numbered.get(_patient(series_uid), 0)
        numbered[_patient(series_uid)] = first + len(nodules)
        for nodule in nodules:
            ratings = ";".join(map(str, nodule.malignancy_ratings))
            contours = sum(len(reading.contours) for reading in nodule.readings)
            rows.append(
                (series_uid, first + nodule.number, len(nodule.readings), ratings, contours)
            )
    return rows
