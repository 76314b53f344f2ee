"""What VisualDL shows of a run: one log file, scalars by step."""

from __future__ import annotations

import contextlib
import io
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Iterator, Mapping, Optional, Tuple, Type

import numpy as np
from visualdl import LogWriter
from visualdl.proto.record_pb2 import Record

LOG_NAME = "vdlrecords.run.log"
"""One fixed name: the VisualDL server reads only the newest log file of a folder, so a
resumed run must go on in the same one."""

_HEADER = struct.Struct("<Q")
"""Before each record VisualDL writes its length."""


class Dashboard:
    """Scalars of a run, for ``visualdl --logdir``.

    Args:
        folder: where the log lies; an existing log is continued.
        keep_until: records after this step are dropped, for a run that is resumed there.
    """

    def __init__(self, folder: Path, keep_until: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _cut(folder / LOG_NAME, keep_until)
        with contextlib.redirect_stdout(io.StringIO()):  # it announces that it appends
            self._writer = LogWriter(logdir=str(folder), file_name=LOG_NAME, flush_secs=10)

    def scalars(self, step: int, values: Mapping[str, Optional[float]]) -> None:
        """Write {tag: value} at ``step``; a value of None has nothing to show."""
        for tag, value in values.items():
            if value is not None:
                self._writer.add_scalar(tag, value, step)

    def flush(self) -> None:
        """Put on disk what is waiting, so that a reader sees it."""
        self._writer._get_file_writer().flush()

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._writer.close()


def read_scalar(folder: Path, tag: str) -> Tuple[np.ndarray, np.ndarray]:
    """(n,) steps and (n,) values of what a run logged under ``tag``; none without a log."""
    path = folder / LOG_NAME
    data = path.read_bytes() if path.exists() else b""
    logged = [(v.id, v.value) for _, r in _records(data) for v in r.values if v.tag == tag]
    steps, values = zip(*logged) if logged else ((), ())
    return np.array(steps, int), np.array(values, float)


def _cut(path: Path, keep_until: int) -> None:
    """Drop records after a step, and a last one that a killed run left unfinished."""
    if not path.exists():
        return
    kept = [
        whole
        for whole, record in _records(path.read_bytes())
        if all(value.id <= keep_until for value in record.values)
    ]
    partial = path.with_name("cut.partial")
    partial.write_bytes(b"".join(kept))
    os.replace(partial, path)


def _records(data: bytes) -> Iterator[Tuple[bytes, Record]]:
    """Each whole record of a log, as it lies there and as it reads."""
    start = 0
    while start + _HEADER.size <= len(data):
        (length,) = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + length
        if end > len(data):
            return
        yield data[start:end], Record.FromString(data[start + _HEADER.size : end])
        start = end
