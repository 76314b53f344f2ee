"""The seam between scans and networks: ``manifest.csv`` beside ``crops/``.

One row is one crop.  The manifest holds what the readers and the diagnosis table
say, verbatim; classes are derived when it is read (:mod:`lungdx_paddle.data.labels`),
so that a new rule needs no new preprocessing.  docs/data_format.md has the columns.
"""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    List,
    Mapping,
    Optional,
    Sequence,
    TextIO,
    Tuple,
    Union,
)

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.files import write_text

CROP_SIZE = 32
"""Side of a crop in pixels (paper, section on nodule images)."""


@dataclass(frozen=True)
class ManifestRow:
    """One crop and all that is known of it."""

    image: str
    """Path of an 8-bit grayscale 32x32 JPG, relative to the manifest, with ``/``."""
    patient_id: str
    series_uid: str
    """CT series instance UID, DICOM (0020,000E)."""
    nodule: int
    """Unique within the patient; with patient_id it names a nodule."""
    z_mm: Optional[float]
    """Position of the slice in mm, if known."""
    pixel_spacing_mm: float
    """In-plane spacing of the original slice, DICOM (0028,0030)."""
    scale: float
    """1.0, or the factor by which a nodule of more than 32 pixels was shrunk."""
    window_center: float
    window_width: float
    """The HU window of the 8-bit values."""
    readers: int
    """How many readers outlined the nodule on this slice."""
    malignancy_ratings: Tuple[int, ...]
    """Every reader's rating of the nodule, 1 to 5; empty if none rated it."""
    diagnosis: Optional[int]
    """0 unknown, 1 benign, 2 primary, 3 metastatic; None: not diagnosed."""
    primary_site: str
    """The diagnosis table's free text; empty if none."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Columns beyond the fixed ones, kept as they are."""

    @property
    def nodule_key(self) -> Tuple[str, int]:
        """(patient_id, nodule): the name of a nodule in the whole manifest."""
        return self.patient_id, self.nodule

    @property
    def window(self) -> Tuple[float, float]:
        """(centre, width) in HU."""
        return self.window_center, self.window_width


@dataclass(frozen=True)
class Manifest:
    """The rows of one manifest and the folder that their images are relative to."""

    folder: Path
    rows: Tuple[ManifestRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, indices: Iterable[int]) -> Manifest:
        """The rows at ``indices``, in that order."""
        return Manifest(self.folder, tuple(self.rows[i] for i in indices))

    def image_path(self, row: ManifestRow) -> Path:
        """Where the row's JPG lies."""
        return self.folder / row.image

    @property
    def windows(self) -> List[Tuple[float, float]]:
        """The distinct (centre, width) windows, in the order in which they appear."""
        return list(dict.fromkeys(row.window for row in self.rows))


def _text(value: str) -> str:
    if not value:
        raise ValueError("a text")
    return value


def _image(value: str) -> str:
    path = PurePosixPath(value.replace("\\", "/"))
    if not value or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise ValueError("a path below the manifest's folder")
    return value


def _number(what: str, low: float, high: float = math.inf) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError(what) from None
        if not (low < number <= high and math.isfinite(number)):
            raise ValueError(what)
        return number

    return parse


def _integer(what: str, low: int, high: Optional[int] = None) -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError(what) from None
        if number < low or (high is not None and number > high):
            raise ValueError(what)
        return number

    return parse


def _optional(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda value: None if value == "" else parse(value)


def _ratings(value: str) -> Tuple[int, ...]:
    parse = _integer("ratings from 1 to 5 joined by ;", 1, 5)
    return tuple(parse(part) for part in value.split(";")) if value else ()


_PARSERS: Dict[str, Callable[[str], Any]] = {
    "image": _image,
    "patient_id": _text,
    "series_uid": str,
    "nodule": _integer("a whole number from 0", 0),
    "z_mm": _optional(_number("a position in mm or nothing", -math.inf)),
    "pixel_spacing_mm": _number("a spacing in mm above 0", 0),
    "scale": _number("a factor above 0 and up to 1", 0, 1),
    "window_center": _number("a HU value", -math.inf),
    "window_width": _number("a width in HU above 0", 0),
    "readers": _integer("a number of readers from 1", 1),
    "malignancy_ratings": _ratings,
    "diagnosis": _optional(_integer("0, 1, 2, 3 or nothing", 0, 3)),
    "primary_site": str,
}
COLUMNS: Tuple[str, ...] = tuple(_PARSERS)
"""The fixed columns, in the order in which they are written."""


def read_manifest(path: Union[str, Path]) -> Manifest:
    """Read and check a manifest.

    Every row is checked for its values and its image's existence; the pixels are
    checked when a dataset reads them.

    Args:
        path: ``manifest.csv``, or the folder that holds it.

    Raises:
        ManifestError: no such file, a missing column, no rows, or a row with a wrong
            value; the message names the line and the column.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "manifest.csv"
    reader = csv.DictReader(_open(path))
    _check_header(path, reader.fieldnames or [])
    rows = []
    seen: Dict[str, int] = {}
    for record in reader:
        row = _parse_row(f"{path}:{reader.line_num}", record)
        _check_unique(f"{path}:{reader.line_num}", row.image, seen, reader.line_num)
        rows.append(row)
    if not rows:
        raise ManifestError(
            str(path),
            expected="at least one crop",
            found="a header and no rows",
            fix="run tools/preprocess.py and read its report.json for the reason",
        )
    manifest = Manifest(path.parent, tuple(rows))
    _check_images(path, manifest)
    return manifest


def write_manifest(path: Union[str, Path], rows: Sequence[ManifestRow]) -> None:
    """Write rows to ``path``, whole or not at all.

    Extra columns follow the fixed ones in the order in which they first appear.

    Raises:
        OutputError: the file cannot be written; an earlier one is left as it was.
    """
    path = Path(path)
    extra = list(dict.fromkeys(name for row in rows for name in row.extra))
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *extra], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_format_row(row) for row in rows)
    write_text(path, text.getvalue())


def _open(path: Path) -> TextIO:
    try:
        return io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")
    except OSError as error:
        found = error.strerror or str(error)
    except UnicodeDecodeError:
        found = "bytes that are not UTF-8"
    raise ManifestError(
        str(path),
        expected="a manifest in UTF-8",
        found=found,
        fix="give data.manifest the path of a manifest.csv made by tools/preprocess.py",
    )


def _check_header(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ManifestError(
            f"{path}:1",
            expected=f"the columns {', '.join(COLUMNS)}",
            found=f"no {', '.join(missing)}",
            fix="see docs/data_format.md",
        )


def _parse_row(where: str, record: Dict[Any, Any]) -> ManifestRow:
    values: Dict[str, Any] = {}
    for name, parse in _PARSERS.items():
        text = record.get(name)
        try:
            if text is None:
                raise ValueError(f"{len(COLUMNS)} or more cells")
            values[name] = parse(text.strip())
        except ValueError as error:
            raise ManifestError(
                f"{where}, column {name}",
                expected=str(error),
                found="a shorter row" if text is None else repr(text),
                fix="correct the row or leave it out",
            ) from None
    extra = {k: v for k, v in record.items() if isinstance(k, str) and k not in _PARSERS}
    return ManifestRow(**values, extra=extra)


def _check_unique(where: str, image: str, seen: Dict[str, int], line: int) -> None:
    if image in seen:
        raise ManifestError(
            f"{where}, column image",
            expected="one row a crop",
            found=f"{image!r} a second time (first on line {seen[image]})",
            fix="leave one of the two rows out",
        )
    seen[image] = line


def _check_images(path: Path, manifest: Manifest) -> None:
    missing = [row.image for row in manifest.rows if not manifest.image_path(row).is_file()]
    if missing:
        raise ManifestError(
            str(path),
            expected=f"{len(manifest)} images",
            found=f"{len(missing)} missing, the first {missing[0]!r}",
            fix="run tools/preprocess.py again or leave those rows out",
        )


def _format_row(row: ManifestRow) -> Dict[str, Any]:
    values = {f.name: getattr(row, f.name) for f in fields(row) if f.name != "extra"}
    values["malignancy_ratings"] = ";".join(map(str, row.malignancy_ratings))
    for name, value in values.items():
        if value is None:
            values[name] = ""
        elif isinstance(value, float):
            values[name] = f"{value:g}" if name != "z_mm" else f"{value:.6g}"
    return {**values, **row.extra}
