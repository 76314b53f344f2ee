"""A DICOM SEG or RTSTRUCT of a CT -> the regions that it marks.

Read with pydicom alone, by the same limits as slices are: neither needs an extra.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.uid import UID

from lungdx_paddle.errors import LidcError
from lungdx_paddle.inference.rtstruct_regions import regions_of_rtstruct
from lungdx_paddle.inference.seg_regions import regions_of_seg
from lungdx_paddle.lidc import Series
from lungdx_paddle.lidc.attributes import NotASlice
from lungdx_paddle.lidc.header import parse_header, quiet
from lungdx_paddle.lidc.regions import Region
from lungdx_paddle.lidc.sources import SourceFile
from lungdx_paddle.words import first_few, printable

KINDS: dict[str, tuple[str, Callable[[Series, Dataset], list[Region]]]] = {
    "1.2.840.10008.5.1.4.1.1.66.4": ("SEG", regions_of_seg),
    "1.2.840.10008.5.1.4.1.1.66.7": ("SEG", regions_of_seg),  # label map, since 2024
    "1.2.840.10008.5.1.4.1.1.481.3": ("RTSTRUCT", regions_of_rtstruct),
}
"""SOP class that marks regions -> its name, and what reads them."""

LARGEST_BYTES = 2**28
"""Of a file: 8192 frames of 512x512, or 10 million points of contours; a nodule's has 1 MB."""

NAMES = (
    *("SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID", "ReferencedSeriesSequence"),
    *("SegmentSequence", "SegmentationType", "MaximumFractionalValue"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "NumberOfFrames"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"),
    *("SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "PixelData"),
    *("StructureSetROISequence", "ROIContourSequence", "ReferencedFrameOfReferenceSequence"),
)
"""All that is parsed of a file."""

ANOTHER_CT = "give the SEG or RTSTRUCT that was drawn on this very CT, or that CT"


@dataclass(frozen=True, eq=False)
class Segmentation:
    """A SEG or RTSTRUCT, whose regions are read when its CT is known."""

    path: Path
    kind: str
    """SEG or RTSTRUCT."""
    series_uids: tuple[str, ...]
    """Of the series that it says it was drawn on; none where it says nothing."""
    dataset: Dataset

    def __repr__(self) -> str:
        return f"Segmentation({str(self.path)!r}, {self.kind})"

    def regions(self, series: Series) -> list[Region]:
        """The regions in a CT, numbered and named as its segments or ROIs.

        One without a pixel on any slice has no areas, and ``about["reason"]`` says why.

        Raises:
            LidcError: it was drawn on another CT, in another frame of reference, marks nothing
                or is damaged.
        """
        self._check_drawn_on(series)
        with _damage_in_a_line(self.path):
            regions = KINDS[self.dataset.SOPClassUID][1](series, self.dataset)
        if not any(region.areas for region in regions):
            reasons = dict.fromkeys(str(region.about["reason"]) for region in regions)
            found = f"none of {len(regions)}: {first_few(list(reasons))}" if regions else "nothing"
            raise _error(self.path, "a region that lies in the CT", found, ANOTHER_CT)
        return regions

    def _check_drawn_on(self, series: Series) -> None:
        with _damage_in_a_line(self.path):
            frames = set(_values(self.dataset, "FrameOfReferenceUID")) or set(
                _values(self.dataset, "StructureSetROISequence", "ReferencedFrameOfReferenceUID")
            )
            study = set(_values(self.dataset, "StudyInstanceUID"))
        own = {s.frame_of_reference for s in series.slices} - {""}
        for what, its, wanted in (
            ("series", set(self.series_uids), {series.series_uid}),
            ("frame of reference", frames, own),
            ("study", set() if self.series_uids else study, {series.study_uid} - {""}),
        ):
            if its and wanted and not its & wanted:
                raise _error(
                    self.path,
                    f"a {self.kind} of {what} {first_few(sorted(wanted))}",
                    f"one of {first_few(sorted(its))}",
                    ANOTHER_CT,
                )


def read_segmentation(path: Path) -> Segmentation:
    """Read a DICOM SEG (binary, fractional or label map) or RTSTRUCT.

    Raises:
        LidcError: the file cannot be read, is damaged or too large, or is another object.
    """
    expected, fix = "a DICOM SEG or RTSTRUCT", "give the file of a segmentation of the CT"
    try:
        stream = SourceFile(path).open(LARGEST_BYTES)
    except OSError as error:
        raise _error(path, expected, error.strerror or str(error), fix) from None
    try:
        with stream, _damage_in_a_line(path):
            dataset, syntax, _ = parse_header(stream, NAMES, LARGEST_BYTES)
            dataset.file_meta.TransferSyntaxUID = syntax
            sop_class = UID(str(dataset.get("SOPClassUID", "")))
            series_uids = tuple(dict.fromkeys(_series_uids(dataset)))
    except NotASlice as error:
        raise _error(path, expected, str(error), fix) from None
    if sop_class not in KINDS:
        raise _error(path, expected, printable(sop_class.name) or "no SOP class", fix)
    return Segmentation(path, KINDS[sop_class][0], series_uids, dataset)


def _series_uids(dataset: Dataset) -> Iterator[str]:
    yield from _values(dataset, "ReferencedSeriesSequence", "SeriesInstanceUID")
    yield from _values(
        dataset,
        "ReferencedFrameOfReferenceSequence",
        "RTReferencedStudySequence",
        "RTReferencedSeriesSequence",
        "SeriesInstanceUID",
    )


def _values(dataset: Dataset, *names: str) -> Iterator[str]:
    """The values at the end of a path through sequences, those that are not empty."""
    found: Any = dataset.get(names[0])
    if len(names) == 1:
        yield from filter(None, [printable(str(found or "").strip(" \0"))])
    else:
        for item in found or ():
            yield from _values(item, *names[1:])


@contextmanager
def _damage_in_a_line(path: Path) -> Iterator[None]:
    """Keep pydicom quiet, and turn what it raises on a damaged file into an error of one line."""
    try:
        with quiet():
            yield
    except NotASlice:
        raise
    except Exception as error:  # pydicom raises nearly anything
        found = f"a damaged one ({type(error).__name__}: {' '.join(str(error).split())})"
        raise _error(path, "a whole file", found, "export or download it again") from error


def _error(path: Path, expected: str, found: str, fix: str) -> LidcError:
    return LidcError(str(path), expected=expected, found=found, fix=fix)
