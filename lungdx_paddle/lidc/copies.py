"""Several files of one slice count once; other pictures with its UID are slices too."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product

from lungdx_paddle.errors import LungdxError
from lungdx_paddle.lidc.pixels import read_hu
from lungdx_paddle.lidc.series_checks import SAME_POSITION_MM
from lungdx_paddle.lidc.slices import Slice
from lungdx_paddle.lidc.sources import Skipped, SourceFile


def drop_copies(slices: Sequence[Slice], skipped: list[Skipped]) -> list[Slice]:
    """Keep one of several files of one picture, and one picture of an instance number.

    Pixels are read only of slices that share a SOP instance UID and a place, each once.

    Args:
        slices: of one size, spacing and orientation, in the order of their files.
        skipped: gets what is left out, with the reason.

    Returns:
        The slices that are kept.
    """
    places = list(_places(slices))
    doubtful = {(s.file, s.frame) for place in places if len(place) > 1 for s in place}
    of_file = cache(_file_digest)
    # In the order of the files: of a packed one with many frames, the last stays unpacked.
    ordered = (s for s in slices if (s.file, s.frame) in doubtful)
    digests = {(s.file, s.frame): _digest(s, of_file) for s in ordered}
    kept: list[Slice] = []
    for place in places:
        pictures: dict[object, Slice] = {}
        instances: dict[int, Slice] = {}
        for s in place:
            picture = digests.get((s.file, s.frame))
            if copied := pictures.get(picture):
                reason = f"the same SOP instance UID as {copied.file}"
                skipped.append(Skipped(str(s.file), reason))
            elif other := instances.get(s.instance):
                reason = f"another picture with the UID and the place of {other.file}"
                skipped.append(Skipped(str(s.file), reason))
            else:
                pictures[picture] = instances[s.instance] = s
                kept.append(s)
    return kept


def _places(slices: Sequence[Slice]) -> Iterator[list[Slice]]:
    """Slices of one UID that lie at one place: within SAME_POSITION_MM of the first of them."""
    counts = Counter(s.sop_uid for s in slices)
    cells: dict[tuple[object, ...], list[Slice]] = {}
    for s in slices:
        if counts[s.sop_uid] == 1:
            yield [s]
            continue
        cell = [int(mm // SAME_POSITION_MM) for mm in s.position_mm]
        around = ((s.sop_uid, *near) for near in product(*((n, n - 1, n + 1) for n in cell)))
        near = (cells[key] for key in around if key in cells and _at_one_place(s, cells[key][0]))
        place = next(near, None)
        (cells.setdefault((s.sop_uid, *cell), []) if place is None else place).append(s)
    yield from cells.values()


def _at_one_place(one: Slice, other: Slice) -> bool:
    apart = (abs(a - b) for a, b in zip(one.position_mm, other.position_mm))
    return max(apart) <= SAME_POSITION_MM


def _digest(s: Slice, of_file: Callable[[SourceFile], bytes]) -> object:
    """The same of two slices that have the same HU, or lie in files of the same bytes."""
    try:
        return hashlib.sha256(read_hu(s).tobytes()).digest()
    except LungdxError:  # no decoder, or broken pixels, which counts when they are wanted
        with contextlib.suppress(LungdxError):
            return s.frame, of_file(s.file)
        return s.frame, s.file


def _file_digest(file: SourceFile) -> bytes:
    return hashlib.sha256(file.read_bytes()).digest()
