"""The seam between scans and networks: ``manifest.csv`` beside ``crops/``.

One row is one crop.  The manifest holds what the readers and the diagnosis table
say, verbatim; classes are derived when it is read (:mod:`lungdx_paddle.data.labels`),
so that a new rule needs no new preprocessing.  docs/data_format.md has the columns.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import (
    Any,
)

import numpy as np

from lungdx_paddle.cells import cell_parser
from lungdx_paddle.errors import ManifestError
from lungdx_paddle.files import write_text
from lungdx_paddle.rows import FIXED, ManifestRow, Rows, new_column

__all__ = [
    "COLUMNS",
    "CROP_SIZE",
    "Manifest",
    "ManifestRow",
    "manifest_file",
    "read_manifest",
    "write_manifest",
]

CROP_SIZE = 32
"""Side of a crop in pixels (paper, section on nodule images)."""


class Manifest:
    """The rows of one manifest and the folder that their images are relative to.

    Args:
        folder: of the manifest.
        rows: any sequence; they are held by column.
    """

    def __init__(self, folder: Path, rows: Sequence[ManifestRow]) -> None:
        self.folder = folder
        self.rows = rows if isinstance(rows, Rows) else Rows.of(rows)

    def __len__(self) -> int:
        return len(self.rows)

    def select(self, indices: Iterable[int]) -> Manifest:
        """The rows at ``indices``, in that order."""
        return Manifest(self.folder, self.rows.select(indices))

    def image_path(self, row: ManifestRow) -> Path:
        """Where the row's JPG lies."""
        return self.folder / row.image

    def image_paths(self) -> Iterator[str]:
        """Where each row's JPG lies."""
        # Not image_path: at a million rows, a Path for each takes longer than their files.
        folder = str(self.folder)
        return (os.path.join(folder, image) for image in self.rows.column("image"))

    @property
    def windows(self) -> list[tuple[float, float]]:
        """The distinct (centre, width) windows, in the order in which they appear."""
        first = self.rows.groups("window_center", "window_width")[1]
        return [row.window for row in self.rows.select(first)]


COLUMNS = FIXED
"""The fixed columns, in the order in which they are written."""


def manifest_file(path: str | Path) -> Path:
    """The manifest that ``path`` means: itself, or ``manifest.csv`` of a folder."""
    path = Path(path)
    return path / "manifest.csv" if path.is_dir() else path


def read_manifest(path: str | Path) -> Manifest:
    """Read and check a manifest.

    Every row is checked for its values and its image's existence; the pixels are
    checked when a dataset reads them.

    Args:
        path: ``manifest.csv``, or the folder that holds it.

    Raises:
        ManifestError: no such file, a missing column, no rows, or a row with a wrong
            value; the message names the line and the column.
    """
    path = manifest_file(path)
    with _reading(path), path.open(encoding="utf-8-sig", newline="") as file:
        rows = _read_rows(path, csv.reader(file))
    if not rows:
        raise ManifestError(
            str(path),
            expected="at least one crop",
            found="a header and no rows",
            fix="run tools/preprocess.py and read its report.json for the reason",
        )
    manifest = Manifest(path.parent, rows)
    _check_images(path, manifest)
    return manifest


def write_manifest(path: str | Path, rows: Sequence[ManifestRow]) -> None:
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


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
        return
    except OSError as error:
        found = error.strerror or str(error)
    except UnicodeDecodeError:
        found = "bytes that are not UTF-8"
    except csv.Error as error:
        found = str(error)
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


def _read_rows(path: Path, records: Any) -> Rows:
    """Every row that a ``csv.reader`` still has, checked."""
    names: list[str] = next(records, [])
    _check_header(path, names)
    places = {name: place for place, name in enumerate(names)}
    columns = {name: new_column(name, cell_parser(name)) for name in COLUMNS}
    columns.update({name: new_column(name) for name in names if name not in COLUMNS})
    plan = [(name, column.append, places[name]) for name, column in columns.items()]
    lines, hashes = array("Q"), array("q")
    for record in records:
        if not record:  # an empty line
            continue
        where = f"{path}:{records.line_num}"
        if len(record) < len(names):
            record += _missing_cells(where, places, len(record))
        for name, append, place in plan:
            try:
                append(record[place])
            except ValueError as error:
                raise _bad_cell(f"{where}, column {name}", error, repr(record[place])) from None
        lines.append(records.line_num)
        hashes.append(hash(record[places["image"]].strip()))
    rows = Rows({name: column.close() for name, column in columns.items()})
    _check_unique(path, rows, lines, np.array(hashes))
    return rows


def _missing_cells(where: str, places: Mapping[str, int], cells: int) -> list[None]:
    """None for each cell that a short row lacks; all of them must be extra ones."""
    for name in COLUMNS:
        if places[name] >= cells:
            error = ValueError(f"{len(COLUMNS)} or more cells")
            raise _bad_cell(f"{where}, column {name}", error, "a shorter row")
    return [None] * (max(places.values()) + 1 - cells)


def _bad_cell(where: str, error: ValueError, found: str) -> ManifestError:
    fix = "correct the row or leave it out"
    return ManifestError(where, expected=str(error), found=found, fix=fix)


def _check_unique(path: Path, rows: Rows, lines: Sequence[int], hashes: np.ndarray) -> None:
    """Compare the few images whose hashes are equal: all of a million would take 0.2 GB."""
    order = np.argsort(hashes, kind="stable")
    same = np.flatnonzero(np.diff(hashes[order]) == 0)
    suspects = np.unique(order[np.concatenate([same, same + 1])])
    seen: dict[str, int] = {}
    for index, image in zip(suspects.tolist(), rows.select(suspects).column("image")):
        first = seen.setdefault(image, index)
        if first != index:
            raise ManifestError(
                f"{path}:{lines[index]}, column image",
                expected="one row a crop",
                found=f"{image!r} a second time (first on line {lines[first]})",
                fix="leave one of the two rows out",
            )


def _check_images(path: Path, manifest: Manifest) -> None:
    there = np.fromiter(map(os.path.isfile, manifest.image_paths()), dtype=bool)
    missing = manifest.rows.select(np.flatnonzero(~there))
    if missing:
        raise ManifestError(
            str(path),
            expected=f"{len(manifest)} images",
            found=f"{len(missing)} missing, the first {missing[0].image!r}",
            fix="run tools/preprocess.py again or leave those rows out",
        )


def _format_row(row: ManifestRow) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in COLUMNS}
    values["malignancy_ratings"] = ";".join(map(str, row.malignancy_ratings))
    for name, value in values.items():
        if value is None:
            values[name] = ""
        elif isinstance(value, float):
            values[name] = f"{value:g}" if name != "z_mm" else f"{value:.6g}"
    return {**values, **row.extra}
