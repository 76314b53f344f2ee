"""What VisualDL shows of a run: one log file, records by step."""

from __future__ import annotations

import contextlib
import io
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from lungdx_paddle.disk import sync
from lungdx_paddle.errors import CheckpointError
from lungdx_paddle.evaluation.ranking import ThresholdCounts
from lungdx_paddle.files import read_file, writable_folder, write_together, writing
from lungdx_paddle.progress import log
from lungdx_paddle.runtime import ensure_home
from lungdx_paddle.words import count_of

ensure_home()  # VisualDL makes a folder there when it is imported
from visualdl import LogWriter  # noqa: E402
from visualdl.component.base_component import pr_curve_raw, roc_curve_raw  # noqa: E402
from visualdl.proto.record_pb2 import Record  # noqa: E402

LOG_NAME = "vdlrecords.run.log"
"""One fixed name: the VisualDL server reads only the newest log file of a folder, so a
resumed run must go on in the same one."""

CURVE_POINTS = 100
"""Of a PR or ROC curve, at most; VisualDL's own has 127 at most."""

BUCKETS = 30
"""Of a histogram."""

NARROWEST = 0.01
"""Width of a histogram whose numbers are closer: weights and shares are of the order of 1,
and shares at their floor differ by float32's rounding only."""

_HEADER = struct.Struct("<Q")
"""Before each record VisualDL writes its length."""

_ONCE = ("hparam", "embeddings", "text")
"""Kinds of record that say something of the whole run.  The server shows the first of a
tag, and VisualDL gives them no step, so a resumed run writes them anew."""


class Dashboard:
    """A run's records, for ``visualdl --logdir``.

    A tag belongs to one kind of record: the server files all records of a tag under the
    kind of the first.

    Args:
        folder: where the log lies; an existing log is continued.
        keep_until: records after this step are dropped, for a run that is resumed there; a log
            line says if some before it are damaged or lost.

    Raises:
        CheckpointError: there is a log that cannot be read.
        OutputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path, keep_until: int = 0) -> None:
        path = writable_folder(folder) / LOG_NAME
        # A last record that a killed run left unfinished goes, too.
        kept, last = [], 0
        for whole, record in _records(path):
            if all(
                value.id <= keep_until and value.WhichOneof("one_value") not in _ONCE
                for value in record.values
            ):
                kept.append(whole)
                last = max(last, *(value.id for value in record.values))
        if last < keep_until:
            lost = (
                "%s was damaged or taken away: it ends at step %d, and the training goes on at %d"
            )
            log.info(lost, path, last, keep_until)
        write_together({path: b"".join(kept)})
        self._path = path
        with contextlib.redirect_stdout(io.StringIO()):  # it announces that it appends
            self._writer = LogWriter(logdir=str(folder), file_name=LOG_NAME, flush_secs=10)

    def scalars(self, step: int, values: Mapping[str, float | None]) -> None:
        """Write {tag: value} at ``step``; a value of None has nothing to show."""
        for tag, value in values.items():
            if value is not None:
                self._writer.add_scalar(tag, value, step)

    def picture(self, step: int, tag: str, image: np.ndarray) -> None:
        """Write a (rows, columns, 3) uint8 RGB image."""
        self._writer.add_image(tag, image, step)

    def histogram(self, step: int, tag: str, values: np.ndarray) -> None:
        """Write a histogram of the finite values."""
        finite = values[np.isfinite(values)].astype(np.float64)
        if len(finite):
            low, high = float(finite.min()), float(finite.max())
            missing = max(NARROWEST - (high - low), 0.0)
            edges = np.linspace(low - missing / 2, high + missing / 2, BUCKETS + 1)
            self._writer.add_histogram(tag, finite, step, buckets=edges)

    def curves(self, step: int, name: str, counts: ThresholdCounts) -> None:
        """Write a binary question's PR curve under ``pr/`` and its ROC under ``roc/``.

        VisualDL 2.5.3 cannot make their points with NumPy from 1.24 on (``np.float``), so
        it is given them.  It stores no thresholds: what it shows as one is a point's position
        between all called positive and none.

        Args:
            step: of the run.
            name: of the question.
            counts: with a positive and a negative.
        """
        counts = counts.thinned(CURVE_POINTS)
        points = {
            "tp": counts.true_positives,
            "fp": counts.false_positives,
            "tn": counts.false_positives[-1] - counts.false_positives,
            "fn": counts.true_positives[-1] - counts.true_positives,
        }
        pr = {"precision": counts.precision, "recall": counts.recall}
        roc = {"tpr": counts.recall, "fpr": counts.false_positive_rate}
        now = round(time.time() * 1000)
        self._add(pr_curve_raw(f"pr/{name}", step=step, walltime=now, **_rising(points, pr)))
        self._add(roc_curve_raw(f"roc/{name}", step=step, walltime=now, **_rising(points, roc)))

    def hyper_parameters(
        self, values: Mapping[str, str | int | float], metrics: Sequence[str]
    ) -> None:
        """Write the run's settings.

        Args:
            values: {setting: value}.
            metrics: tags of scalars whose last value is shown beside them.
        """
        self._writer.add_hparams(dict(values), list(metrics))

    def embedding(self, tag: str, points: np.ndarray, columns: Mapping[str, Sequence[str]]) -> None:
        """Write points of a high-dimensional space; the server shows a tag's first only.

        Args:
            tag: of its own.
            points: (n, dimensions).
            columns: {title: (n,) what each point is}.
        """
        self._writer.add_embeddings(
            tag,
            mat=points,
            metadata=[list(values) for values in columns.values()],
            metadata_header=list(columns),
        )

    def text(self, tag: str, text: str) -> None:
        """Write a line of text."""
        self._writer.add_text(tag, text, 0)

    def flush(self) -> None:
        """Put on disk what is waiting, so that a reader sees it."""
        self._writer._get_file_writer().flush()
        with writing(self._path):
            sync([self._path])

    def _add(self, record: Record) -> None:
        self._writer._get_file_writer().add_record(record)

    def __enter__(self) -> Dashboard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        if kind is None:
            with writing(self._path):
                sync([self._path])


def _rising(*parts: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The points as lists, with a threshold that rises, as VisualDL's own do."""
    return {name: values[::-1].tolist() for part in parts for name, values in part.items()}


def read_scalar(folder: Path, tag: str) -> tuple[np.ndarray, np.ndarray]:
    """(n,) steps and (n,) values of what a run logged under ``tag``; none without a log.

    Raises:
        CheckpointError: there is a log that cannot be read.
    """
    records = _records(folder / LOG_NAME)
    logged = [(v.id, v.value) for _, record in records for v in record.values if v.tag == tag]
    steps, values = zip(*logged) if logged else ((), ())
    return np.array(steps, int), np.array(values, float)


def _records(path: Path) -> Iterator[tuple[bytes, Record]]:
    """Each whole record of a log, as it lies there and as it reads; none without a log.

    A log line says how many damaged ones were left out.
    """
    try:
        data = read_file(path) if path.exists() else b""
    except OSError as error:
        raise CheckpointError(
            str(path),
            expected="the log of a training",
            found=error.strerror or str(error),
            fix="remove it: the training goes on with a new one",
        ) from error
    start, damaged = 0, 0
    while start + _HEADER.size <= len(data):
        (length,) = _HEADER.unpack_from(data, start)
        end = start + _HEADER.size + length
        if end > len(data):  # the last one, or its length is damaged
            break
        try:
            record = Record.FromString(data[start + _HEADER.size : end])
        except DecodeError:
            record = Record()
        if record.values:
            yield data[start:end], record
        else:
            damaged += 1
        start = end
    if damaged:
        log.info("%s: left out %s", path, count_of(damaged, "damaged record"))
