"""Read and write ``manifest.csv``: one row a 32x32 nodule crop, with its labels and geometry.

All that passes from preprocessing to training.  It holds the readers' ratings and the
diagnosis table's text as they are; a dataset derives classes from them
(:mod:`lungdx_paddle.data.labels`).  docs/reference/manifest.md has the columns.
"""

from __future__ import annotations

import csv
import functools
import io
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.files import write_text

CROP_SIZE = 32
"""Side of a crop in pixels (paper, section on nodule images)."""

CROP_RULES = ("paper", "context")
"""How a crop may be cut: the outline's rectangle, or a square of 32 mm about the middle."""


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
    z_mm: float | None
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
    malignancy_ratings: tuple[int, ...]
    """Every reader's rating of the nodule, 1 to 5; empty if none rated it."""
    diagnosis: int | None
    """0 unknown, 1 benign, 2 primary, 3 metastatic; None: not diagnosed."""
    primary_site: str
    """The diagnosis table's free text; empty if none."""
    crop: str = "paper"
    """The rule by which it was cut, one of :data:`CROP_RULES`."""
    sop_uid: str = ""
    """SOP instance UID of the slice, DICOM (0008,0018), if known."""
    source: str = ""
    """lidc, lidc-slices (the public set of nodule slices) or phantom; empty: unknown."""
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further columns, kept as they are."""

    @property
    def nodule_key(self) -> tuple[str, int]:
        """(patient_id, nodule): the name of a nodule in the whole manifest."""
        return self.patient_id, self.nodule

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU."""
        return self.window_center, self.window_width


_FIELDS = [f for f in fields(ManifestRow) if f.name != "extra"]
COLUMNS: tuple[str, ...] = tuple(f.name for f in _FIELDS if f.default is MISSING)
"""The columns that every manifest has, in the order in which they are written."""
OPTIONAL: Mapping[str, str] = {f.name: f.default for f in _FIELDS if f.default is not MISSING}
"""Columns that a manifest may have -> what a missing one or an empty cell means."""


@dataclass(frozen=True)
class Manifest:
    """The rows of one manifest and the folder that their images are relative to."""

    folder: Path
    rows: tuple[ManifestRow, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        nodules = len({row.nodule_key for row in self.rows})
        patients = len({row.patient_id for row in self.rows})
        windows = ", ".join(f"{center:g}/{width:g}" for center, width in self.windows)
        return (
            f"<Manifest {self.folder}: {len(self)} crops, {nodules} nodules, {patients} patients, "
            f"window {windows}, crop rule {', '.join(self.crop_rules)}>"
        )

    def select(self, indices: Iterable[int]) -> Manifest:
        """The rows at ``indices``, in that order."""
        return Manifest(self.folder, tuple(self.rows[i] for i in indices))

    def image_paths(self) -> list[Path]:
        """Where each row's JPG is."""
        return [self.folder / row.image for row in self.rows]

    @property
    def windows(self) -> list[tuple[float, float]]:
        """The distinct (centre, width) windows in HU, in the order in which they appear."""
        return list(dict.fromkeys(row.window for row in self.rows))

    @property
    def crop_rules(self) -> list[str]:
        """The distinct crop rules, in the order in which they appear."""
        return list(dict.fromkeys(row.crop for row in self.rows))

    @property
    def source(self) -> str:
        """``phantom`` if any row is; else the first source that is known, or nothing."""
        sources = dict.fromkeys(row.source for row in self.rows)
        return "phantom" if "phantom" in sources else next(filter(None, sources), "")


def manifest_file(path: str | Path) -> Path:
    """The manifest that ``path`` means: itself, or ``manifest.csv`` of a folder."""
    path = Path(path)
    return path / "manifest.csv" if path.is_dir() else path


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest and check every value, and that every image exists.

    Args:
        path: ``manifest.csv``, or the folder that holds it.

    Raises:
        ManifestError: as :func:`read_rows`, or an image is missing.
    """
    path = manifest_file(path)
    manifest = Manifest(path.parent, read_rows(path))
    missing = [row.image for row in manifest.rows if not (path.parent / row.image).is_file()]
    if missing:
        raise ManifestError(
            str(path),
            expected=f"{len(manifest)} images",
            found=f"{len(missing)} missing, the first {missing[0]!r}",
            fix="run tools/preprocess.py again or leave those rows out",
        )
    return manifest


def read_rows(path: str | Path) -> tuple[ManifestRow, ...]:
    """Read the rows of a manifest, or of a table with its columns, without their images.

    Lines above the header that begin with ``#`` are comments.

    Args:
        path: the file, or the folder that holds ``manifest.csv``.

    Raises:
        ManifestError: no such file, a missing column, no rows, an image twice, or a row with
            a wrong value; the message names the line and the column.
    """
    path = manifest_file(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = tuple(_parse_rows(path, csv.reader(file)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        not_text = "bytes that are not UTF-8" if isinstance(error, UnicodeDecodeError) else None
        raise ManifestError(
            str(path),
            expected="a manifest in UTF-8",
            found=not_text or getattr(error, "strerror", None) or str(error),
            fix="give data.manifest the path of a manifest.csv made by tools/preprocess.py",
        ) from error
    if not rows:
        raise ManifestError(
            str(path),
            expected="at least one crop",
            found="a header and no rows",
            fix="run tools/preprocess.py and read its report.json for the reason",
        )
    return rows


def write_manifest(path: str | Path, rows: Sequence[ManifestRow], comment: str = "") -> None:
    """Write rows to ``path``, whole or not at all, after a line ``# comment`` if there is one.

    After the fixed columns come the optional ones that a row uses, then the extra ones in
    the order in which they first appear.

    Raises:
        OutputError: the file cannot be written; an earlier one is left as it was.
    """
    used = [name for name in OPTIONAL if any(getattr(r, name) != OPTIONAL[name] for r in rows)]
    extra = dict.fromkeys(name for row in rows for name in row.extra)
    ratings = COLUMNS.index("malignancy_ratings")
    text = io.StringIO()
    text.write(f"# {comment}\n" if comment else "")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *used, *extra])
    for row in rows:
        values = [getattr(row, name) for name in (*COLUMNS, *used)]
        cells = [f"{value:g}" if isinstance(value, float) else value for value in values]
        cells[ratings] = ";".join(map(str, row.malignancy_ratings))
        writer.writerow([*cells, *(row.extra.get(name, "") for name in extra)])
    write_text(Path(path), text.getvalue())


def _parse_rows(path: Path, records: Any) -> Iterator[ManifestRow]:
    """Every row that a ``csv.reader`` at its beginning has, checked."""
    names: list[str] = next((r for r in records if r and not r[0].startswith("#")), [])
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise ManifestError(
            f"{path}:{records.line_num}",
            expected=f"the columns {', '.join(COLUMNS)}",
            found=f"no {', '.join(missing)}",
            fix="see docs/reference/manifest.md",
        )

    def bad(column: str, expected: str, found: str) -> ManifestError:
        where, fix = f"{path}:{records.line_num}, column {column}", "correct or leave out the row"
        return ManifestError(where, expected=expected, found=found, fix=fix)

    # Most values stand in many rows: each distinct cell of a column is parsed once.
    parsers = {name: functools.cache(_CELLS[name][1]) for name in _CELLS if name in names}
    lines: dict[str, int] = {}
    for record in filter(None, records):  # an empty line is an empty list
        cells, values = dict(zip(names, record)), {}
        lacking = next((name for name in COLUMNS if name not in cells), None)
        if lacking:
            raise bad(lacking, f"{len(COLUMNS)} or more cells", "a shorter row")
        for name, parse in parsers.items():
            cell = cells.pop(name, "")
            try:
                values[name] = parse(cell.strip())
            except ValueError:
                raise bad(name, _CELLS[name][0], repr(cell)) from None
        row = ManifestRow(**values, extra=cells)
        first = lines.setdefault(row.image, records.line_num)
        if first != records.line_num:
            found = f"{row.image!r} a second time (first on line {first})"
            raise bad("image", "one row a crop", found)
        yield row


def _legal(value: Any, is_legal: bool) -> Any:
    if not is_legal:
        raise ValueError
    return value


def _number(cell: str, above: float = -math.inf, up_to: float = math.inf) -> float:
    number = float(cell)
    return float(_legal(number, above < number <= up_to and math.isfinite(number)))


def _whole(cell: str, low: int, high: int) -> int:
    number = float(cell)  # pandas writes 2.0 where a column has empty cells too
    return int(_legal(number, number.is_integer() and low <= number <= high))


def _image(cell: str) -> str:
    path = cell.replace("\\", "/")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    is_below = not path.startswith("/") and ".." not in parts and ":" not in "".join(parts[:1])
    return str(_legal(path, bool(parts) and is_below))


_CELLS: Mapping[str, tuple[str, Callable[[str], Any]]] = {
    "image": ("a path below the manifest's folder", _image),
    "patient_id": ("a text", lambda c: _legal(c, c != "")),
    "series_uid": ("a text", str),
    "nodule": ("a whole number from 0", lambda c: _whole(c, 0, 10**9)),
    "z_mm": ("a position in mm or nothing", lambda c: _number(c) if c else None),
    "pixel_spacing_mm": ("a spacing in mm above 0", lambda c: _number(c, above=0)),
    "scale": ("a factor above 0 and up to 1", lambda c: _number(c, above=0, up_to=1)),
    "window_center": ("a HU value", _number),
    "window_width": ("a width in HU above 0", lambda c: _number(c, above=0)),
    "readers": ("a number of readers from 1 to 100", lambda c: _whole(c, 1, 100)),
    "malignancy_ratings": (
        "ratings from 1 to 5 joined by ;",
        lambda c: tuple(_whole(rating, 1, 5) for rating in c.split(";")) if c else (),
    ),
    "diagnosis": ("0, 1, 2, 3 or nothing", lambda c: _whole(c, 0, 3) if c else None),
    "primary_site": ("a text", str),
    "crop": (
        f"one of {', '.join(CROP_RULES)}",
        lambda c: _legal(c or "paper", c in ("", *CROP_RULES)),
    ),
    "sop_uid": ("a text", str),
    "source": ("a text", str),
}
"""Column -> what its cells may hold, and what makes a value of one or raises ValueError."""
