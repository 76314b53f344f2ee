"""Read and write ``manifest.csv``: one row a 32x32 nodule crop, with its labels and geometry.

All that passes from preprocessing to training: ratings and texts, of which a dataset makes
classes (:mod:`lungdx_paddle.data.labels`).  docs/reference/manifest.md has the columns.
"""

from __future__ import annotations

import csv
import functools
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungdx_paddle.errors import ManifestError
from lungdx_paddle.files import read_file, write_text
from lungdx_paddle.manifest_cells import CELLS, COLUMNS, NO_VALUE, NUMBERS, OPTIONAL, THOUSANDS
from lungdx_paddle.manifest_cells import CROP_RULES as CROP_RULES
from lungdx_paddle.manifest_cells import ManifestRow as ManifestRow
from lungdx_paddle.tables import LARGEST_TABLE_BYTES, Table, TableKind, read_table

CROP_SIZE = 32
"""Side of a crop in pixels (paper, section on nodule images)."""


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
        return (
            f"<Manifest {self.folder}: {len(self)} crops, {nodules} nodules, {patients} patients, "
            f"gray {', '.join(self.grays)}, crop rule {', '.join(self.crop_rules)}>"
        )

    def select(self, indices: Iterable[int]) -> Manifest:
        """The rows at ``indices``, in that order."""
        return Manifest(self.folder, tuple(self.rows[i] for i in indices))

    def image_paths(self) -> list[Path]:
        """Where each row's JPG is."""
        return [self.folder / row.image for row in self.rows]

    @property
    def grays(self) -> list[str]:
        """What gray values mean, each meaning once, in the order in which they appear."""
        return list(dict.fromkeys(row.gray for row in self.rows))

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
    """Read a manifest and check every value, and that every image exists, once.

    Args:
        path: ``manifest.csv``, or the folder that holds it.

    Raises:
        ManifestError: as :func:`read_rows`, or an image is missing.
    """
    path = manifest_file(path)
    manifest = Manifest(path.parent, read_rows(path))
    folder = str(path.parent)
    missing = [row.image for row in manifest.rows if not os.path.isfile(f"{folder}/{row.image}")]
    if missing:
        raise ManifestError(
            str(path),
            expected=f"{len(manifest)} images",
            found=f"{len(missing)} missing, the first {missing[0]!r}",
            fix="run tools/preprocess.py again or leave those rows out",
        )
    # On the disks of Windows and macOS a/B.jpg is a/b.jpg.
    spellings: dict[str, str] = {}
    for row in manifest.rows:
        other = spellings.setdefault(row.image.casefold(), row.image)
        if other != row.image and os.path.samefile(f"{folder}/{other}", f"{folder}/{row.image}"):
            found, fix = f"one file as {other!r} and as {row.image!r}", "leave one of them out"
            raise ManifestError(str(path), expected="one row a crop", found=found, fix=fix)
    return manifest


def read_rows(path: str | Path) -> tuple[ManifestRow, ...]:
    """Read the rows of a manifest, or of a table with its columns, without their images.

    What spreadsheets and pandas make of one is read too.  Lines above the header are comments.

    Args:
        path: the file, or the folder that holds ``manifest.csv``.

    Raises:
        ManifestError: no such file, a missing column, no rows, an image twice, or a row with
            a wrong value; the message names the line and the column.
    """
    path = manifest_file(path)
    try:
        data = read_file(path, LARGEST_TABLE_BYTES)
    except OSError as error:
        raise ManifestError(
            str(path),
            expected=_KIND.what,
            found=error.strerror or str(error),
            fix="give data.manifest the path of a manifest.csv made by tools/preprocess.py",
        ) from error
    table = read_table(str(path), data, _KIND)
    rows = tuple(_parse_rows(path, table, _column_names(path, table)))
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
    text = io.StringIO()
    text.write(f"# {comment}\n" if comment else "")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *used, *extra])
    for row in rows:
        values = [getattr(row, name) for name in (*COLUMNS, *used)]
        writer.writerow([*map(_cell, values), *(row.extra.get(name, "") for name in extra)])
    write_text(Path(path), text.getvalue())


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return ";".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else value


def _known(cells: Iterable[str]) -> list[str]:
    """Names of columns, the manifest's own as they are written here."""
    names = [cell.strip() for cell in cells]
    return [name.lower() if name.lower() in CELLS else name for name in names]


def _column_names(path: Path, table: Table) -> list[str]:
    names = _known(table.header)
    missing = [name for name in COLUMNS if name not in names]
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if missing or twice:
        raise ManifestError(
            f"{path}:{table.header_line}",
            expected=f"the columns {', '.join(COLUMNS)}" if missing else "columns of one name each",
            found=f"no {', '.join(missing)}" if missing else f"several named {', '.join(twice)}",
            fix="see docs/reference/manifest.md",
        )
    return names


def _parse_rows(path: Path, table: Table, names: Sequence[str]) -> Iterator[ManifestRow]:
    """Every row, checked."""

    def bad(column: str, expected: str, found: str) -> ManifestError:
        where, fix = f"{path}:{line}, column {column}", "correct or leave out the row"
        return ManifestError(where, expected=expected, found=found, fix=fix)

    marks: set[str] = set()

    def parser(name: str) -> Callable[[str], Any]:
        parse, is_number = CELLS[name][1], name in NUMBERS and table.decimal_comma

        def read(cell: str) -> Any:
            text = cell.strip()
            text = "" if text in NO_VALUE else text
            if is_number:
                marks.add("," if "," in text else "." if THOUSANDS.fullmatch(text) else "")
                if {",", "."} <= marks:
                    raise ValueError
                text = text.replace(",", ".")
            return parse(text)

        # Most values stand in many rows: each distinct cell of a column is parsed once.
        return functools.cache(read)

    parsers = {name: parser(name) for name in CELLS if name in names}
    needed = 1 + max(map(names.index, COLUMNS))
    lines: dict[str, int] = {}
    for line, record in table.rows:
        cells, values = dict(zip(names, record)), {}
        cells.pop("", None)  # pandas' index
        if len(record) < needed:
            lacking = next(name for name in COLUMNS if name not in cells)
            raise bad(lacking, f"{needed} or more cells", "a shorter row")
        for name, parse in parsers.items():
            cell = cells.pop(name, "")
            try:
                values[name] = parse(cell)
            except ValueError:
                beside = " beside both 0,5 and 1.000" if {",", "."} <= marks else ""
                raise bad(name, CELLS[name][0], f"{cell!r}{beside}") from None
        row = ManifestRow(**values, extra=cells)
        first = lines.setdefault(row.image, line)
        if first != line:
            found = f"{row.image!r} a second time (first on line {first})"
            raise bad("image", "one row a crop", found)
        yield row


_KIND = TableKind(
    "a manifest (UTF-8 CSV)", lambda cells: len(set(COLUMNS) & set(_known(cells))), ManifestError
)
