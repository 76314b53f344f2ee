"""The rows of a manifest, held by column.

A million row objects take as much memory as the million crops.  But most values stand in
many rows, so a column keeps each distinct one once and a small number a row, and a row
object is made when it is asked for.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import (
    Any,
)

import numpy as np

BLOCK = 4096
"""Rows that are made at a time when all are walked through."""

_ABSENT = b"\xff"
"""Stands for a cell that a row does not have: no text in UTF-8 holds this byte."""


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
    extra: Mapping[str, str] = field(default_factory=dict)
    """Columns beyond the fixed ones, kept as they are."""

    @property
    def nodule_key(self) -> tuple[str, int]:
        """(patient_id, nodule): the name of a nodule in the whole manifest."""
        return self.patient_id, self.nodule

    @property
    def window(self) -> tuple[float, float]:
        """(centre, width) in HU."""
        return self.window_center, self.window_width


FIXED: tuple[str, ...] = tuple(name for name in ManifestRow.__annotations__ if name != "extra")
"""The columns that every manifest has, in the order of a row's fields."""


class RepeatedValues:
    """A column in which rows share values: each distinct one once, and its number a row.

    Args:
        parse: makes a cell's value, or raises ValueError; called once a distinct cell.
    """

    def __init__(self, parse: Callable[[Any], Any] = lambda cell: cell) -> None:
        self._parse = parse
        # Of cells and of values: cells of equal values have one number.
        self._known: dict[Any, int] = {}
        self._values: list[Any] = []
        self._numbers: Any = array("I")

    def append(self, cell: Any) -> None:
        """Add a row's cell.

        Raises:
            ValueError: as ``parse``.
        """
        number = self._known.get(cell)
        if number is None:
            value = self._parse(cell)
            number = self._known.setdefault(value, len(self._values))
            if number == len(self._values):
                self._values.append(value)
            self._known[cell] = number
        self._numbers.append(number)

    def close(self) -> RepeatedValues:
        """Nothing more will be added: take no more memory than needed."""
        self._known.clear()
        self._numbers = np.array(self._numbers, dtype=np.min_scalar_type(len(self._values)))
        return self

    def at(self, rows: np.ndarray) -> list[Any]:
        """The values of some rows."""
        return [self._values[number] for number in self._numbers[rows].tolist()]

    def numbers_at(self, rows: np.ndarray) -> np.ndarray:
        """(n,) whole numbers below ``len(self)``, equal where the values of the rows are."""
        return np.asarray(self._numbers[rows])

    def __len__(self) -> int:
        return len(self._values)


class DistinctTexts:
    """A column in which each row has a text of its own, or none.

    All are in one block of bytes without the beginning that they share, a quarter of the
    memory of as many ``str``; these are made when asked for.

    Args:
        parse: makes a cell's text, or raises ValueError.
    """

    def __init__(self, parse: Callable[[Any], str | None] = lambda cell: cell) -> None:
        self._parse = parse
        self._shared: bytes | None = None
        self._block: Any = bytearray()
        self._ends: Any = array("Q", [0])

    def append(self, cell: Any) -> None:
        """Add a row's cell.

        Raises:
            ValueError: as ``parse``.
        """
        text = self._parse(cell)
        content = _ABSENT if text is None else text.encode("utf-8", "surrogatepass")
        if self._shared is None:
            self._shared = content
        elif not content.startswith(self._shared):
            self._shared = os.path.commonprefix([self._shared, content]) or b""
        self._block += content
        self._ends.append(len(self._block))

    def close(self) -> DistinctTexts:
        """Nothing more will be added: take no more memory than needed."""
        self._shared = self._shared or b""
        ends = np.array(self._ends, dtype=np.int64)
        own = np.ones(len(self._block), dtype=bool)
        for place in range(len(self._shared)):
            own[ends[:-1] + place] = False
        self._block = np.frombuffer(self._block, dtype=np.uint8)[own].tobytes()
        ends -= len(self._shared) * np.arange(len(ends))
        self._ends = ends.astype(np.min_scalar_type(ends[-1]))
        return self

    def at(self, rows: np.ndarray) -> list[str | None]:
        """The texts of some rows."""
        ends = zip(self._ends[rows].tolist(), self._ends[rows + 1].tolist())
        shared = self._shared or b""
        texts = (shared + self._block[start:end] for start, end in ends)
        return [None if t == _ABSENT else t.decode("utf-8", "surrogatepass") for t in texts]

    def numbers_at(self, rows: np.ndarray) -> np.ndarray:
        """(n,) whole numbers below ``len(self)``, one for each row."""
        return rows

    def __len__(self) -> int:
        return len(self._ends) - 1


Column = RepeatedValues | DistinctTexts


def new_column(name: str, parse: Callable[[Any], Any] = lambda cell: cell) -> Column:
    """The kind of column that suits ``name``, still without a row.

    What is not among the fixed columns may be another name of each row, such as ``sop_uid``.
    """
    repeats = name in FIXED and name != "image"
    return RepeatedValues(parse) if repeats else DistinctTexts(parse)


class Rows(Sequence[ManifestRow]):
    """Rows of a manifest: a sequence of :class:`ManifestRow`, and whole columns of it.

    Args:
        columns: the fixed ones and the extra ones, closed; an extra value of None says that
            the row has none.
        index: (rows,) which of the columns' rows these are; None: all, in order.
    """

    def __init__(self, columns: Mapping[str, Column], index: np.ndarray | None = None) -> None:
        self._columns = columns
        self._extra = [name for name in columns if name not in FIXED]
        # Half the size of the usual int64; there are as many of these as there are parts.
        every = np.arange(len(columns["image"]), dtype=np.int32)
        self._index = every if index is None else index

    @classmethod
    def of(cls, rows: Iterable[ManifestRow]) -> Rows:
        """Rows that already are objects, by column."""
        rows = list(rows)
        extra = dict.fromkeys(name for row in rows for name in row.extra)
        columns = {name: new_column(name) for name in (*FIXED, *extra)}
        for row in rows:
            for name, column in columns.items():
                column.append(getattr(row, name) if name in FIXED else row.extra.get(name))
        return cls({name: column.close() for name, column in columns.items()})

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self._made(self._index[index]))
        return next(self._made(self._index[[index]]))

    def __iter__(self) -> Iterator[ManifestRow]:
        for block in self._blocks():
            yield from self._made(block)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (Rows, tuple)):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other))

    def select(self, indices: Iterable[int] | np.ndarray) -> Rows:
        """The rows at ``indices``, in that order; the columns are shared, not copied."""
        chosen = indices if isinstance(indices, np.ndarray) else np.array(list(indices), np.int64)
        return Rows(self._columns, self._index[chosen])

    def column(self, name: str) -> Iterator[Any]:
        """The values of one column, row by row."""
        for block in self._blocks():
            yield from self._columns[name].at(block)

    def groups(self, *names: str) -> tuple[np.ndarray, np.ndarray]:
        """Group the rows that are equal in some columns.

        Returns:
            (rows,) int32 the group of each row, and (groups,) the first row of each; groups
            count from 0 in the order in which they first appear.
        """
        numbers, first = np.zeros(len(self), np.int32), np.arange(1)
        for name in names:
            column = self._columns[name]
            both = numbers * np.int64(len(column)) + column.numbers_at(self._index)
            numbers, first = _numbered(both)
        return numbers, first

    def derive(self, function: Callable[..., int], *names: str) -> np.ndarray:
        """(rows,) int64 a number that follows from some columns, computed once a group."""
        numbers, first = self.groups(*names)
        distinct = self.select(first)
        values = zip(*(distinct.column(name) for name in names))
        return np.array([function(*value) for value in values], dtype=np.int64)[numbers]

    def _blocks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self), BLOCK):
            yield self._index[start : start + BLOCK]

    def _made(self, index: np.ndarray) -> Iterator[ManifestRow]:
        fixed: Iterator[Any] = zip(*(self._columns[name].at(index) for name in FIXED))
        extra = [self._columns[name].at(index) for name in self._extra]
        for values, *more in zip(fixed, *extra):
            known = {k: v for k, v in zip(self._extra, more) if v is not None}
            yield ManifestRow(**dict(zip(FIXED, values)), extra=known)


def _numbered(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each value's number in order of appearance, and where each number first appears."""
    if (values[1:] > values[:-1]).all():  # a name of each row: nothing need be sorted
        return np.arange(len(values), dtype=np.int32), np.arange(len(values))
    # np.unique and a renumbering do the same with twice the memory.
    order = np.argsort(values, kind="stable")
    begins = np.ones(len(values), dtype=bool)
    begins[1:] = np.diff(values[order]) != 0
    first = order[begins]
    appearance = np.empty(len(first), dtype=np.int32)
    appearance[np.argsort(first)] = np.arange(len(first))
    numbers = np.empty(len(values), dtype=np.int32)
    numbers[order] = appearance[np.cumsum(begins) - 1]
    return numbers, np.sort(first)
