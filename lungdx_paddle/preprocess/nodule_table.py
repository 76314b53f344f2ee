"""LIDC XML files without DICOM -> ``nodules.csv``: the nodules and their ratings."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from lungdx_paddle.files import writable_folder, write_text
from lungdx_paddle.lidc import Nodule, Skipped, find_annotations, group_readings
from lungdx_paddle.lidc.catalogue import USUAL_PIXEL_SPACING_MM, SeriesFacts, known_series
from lungdx_paddle.lidc.scan import first_numbers
from lungdx_paddle.lidc.sources import FEW_FILES
from lungdx_paddle.preprocess.report import check_found
from lungdx_paddle.preprocess.source_names import absolute, as_given, named
from lungdx_paddle.progress import bar

COLUMNS = ("series_uid", "nodule", "readers", "malignancy_ratings", "contours")


@dataclass(frozen=True)
class NoduleTable:
    """Counts of what ``nodules.csv`` was made of."""

    series: int
    nodules: int
    readings: int
    unknown: int
    """Series that LIDC-IDRI's table does not know; their pixel spacing was assumed."""
    skipped: tuple[Skipped, ...]
    """Files that were left out, with the reason."""
    warnings: tuple[str, ...] = ()
    """What is unusual about the files that count, each named."""


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
    with as_given(xml):
        annotations, left_out = find_annotations(absolute(xml))
    skipped = named(left_out, xml)
    fix = "give the folder or archive of the XML files"
    check_found(xml, annotations, skipped, expected="LIDC XML files of CT series", fix=fix)
    series = list(annotations.values())
    facts = {  # of an unknown series what is usual, and the XML says how far slices are apart
        uid: known_series().get(uid) or SeriesFacts(uid, USUAL_PIXEL_SPACING_MM, 0.0, 0.0)
        for uid in annotations
    }
    few = len(series) < FEW_FILES
    grouped: dict[str, list[Nodule]] = {}
    for marks in bar(series, desc="nodules", unit="series", disable=few, leave=False):
        its = facts[marks.series_uid]
        grouped[marks.series_uid] = group_readings(
            marks, its.pixel_spacing_mm, its.slice_spacing_mm
        )
    first = first_numbers((facts[uid].patient_id, uid, len(grouped[uid])) for uid in grouped)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for series_uid in sorted(grouped, key=lambda uid: (facts[uid].patient_id, uid)):
        for nodule in grouped[series_uid]:
            ratings = ";".join(map(str, nodule.malignancy_ratings))
            contours = sum(len(reading.contours) for reading in nodule.readings)
            number = first[series_uid] + nodule.number
            writer.writerow((series_uid, number, len(nodule.readings), ratings, contours))
    write_text(out / "nodules.csv", text.getvalue())
    return NoduleTable(
        series=len(annotations),
        nodules=sum(map(len, grouped.values())),
        readings=sum(len(a.readings) for a in series),
        unknown=len(set(annotations) - set(known_series())),
        skipped=tuple(skipped),
        warnings=tuple(
            named(f"{of_series.source}: {text}", xml)
            for of_series in series
            for text in of_series.warnings
        ),
    )
