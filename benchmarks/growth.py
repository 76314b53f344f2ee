"""What a series costs as the collection grows: time and memory of the whole pipeline."""

from __future__ import annotations

import contextlib
import io
import math
import multiprocessing
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from memory import peak_mb

from lungdx_paddle.files import writing


def grow(
    source: Path, series_uid: str, folder: Path, sizes: Sequence[int], rounds: int
) -> list[dict[str, Any]]:
    """Preprocess collections of 1, 2, ... series, in turn, each time in a new process.

    Args:
        source: folder or archive of one series and its XML.
        series_uid: of that series; its copies differ from it in this alone.
        folder: where the copies are made.
        sizes: numbers of series.
        rounds: how often each collection is preprocessed.

    Returns:
        Of each size the medians: seconds a series, and the process's peak memory in MB.
    """
    copies = [_copy(source, series_uid, folder, number) for number in range(max(sizes))]
    collections = {size: _link(folder / f"of_{size}", copies[:size]) for size in sizes}
    measured: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size, collection in collections.items():
            measured[size].append(_in_new_process(collection, collections[sizes[0]]))
    return [_medians(size, runs) for size, runs in measured.items()]


def draw(record: Mapping[str, Any], path: Path) -> Path:
    """The growth as a picture: seconds and memory over the number of series."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sizes = [point["series"] for point in record["growth"]]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    panels = (
        ("s_per_series", "Time of one series", "seconds a series"),
        ("peak_mb", "Memory of the process", "peak resident memory, MB"),
    )
    for axes, (key, title, unit) in zip(figure.subplots(1, 2), panels):
        values = [point[key] for point in record["growth"]]
        axes.set_title(title)
        axes.set_xlabel("series in the collection")
        axes.set_ylabel(unit)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.grid(alpha=0.3)
        if None not in values:
            axes.plot(sizes, values, "o-", label="measured")
            axes.axhline(values[0], color="gray", linestyle="--", label="flat: the promise")
            axes.set_ylim(0, 1.35 * max(values))
            axes.legend(loc="lower right")
    slices = record["shape_zyx"][0]
    made = record["machine"]
    figure.suptitle(
        f"Data: copies of {record['data']}, {slices} slices each; one process; "
        f"{made['cpu']}, {made['date']}",
        fontsize=9,
    )
    with writing(path):
        figure.savefig(path, dpi=110)
    return path


def _copy(source: Path, series_uid: str, folder: Path, number: int) -> Path:
    """Write all files of ``source`` with another series UID of the same length."""
    from lungdx_paddle.lidc.sources import list_files

    target = folder / "copies" / f"{number:03d}"
    target.mkdir(parents=True)
    other = f"{series_uid[:-3]}{number:03d}"
    for index, file in enumerate(list_files(source)[0]):
        with file.open() as stream:
            content = stream.read().replace(series_uid.encode(), other.encode())
        (target / f"{index:06d}{file.suffix}").write_bytes(content)
    return target


def _link(collection: Path, copies: Sequence[Path]) -> Path:
    collection.mkdir()
    for copy in copies:
        (collection / copy.name).symlink_to(copy, target_is_directory=True)
    return collection


def _in_new_process(collection: Path, first: Path) -> tuple[float, float]:
    # A process of its own, since the peak of its memory never falls; spawned, not forked,
    # lest it begin with the parent's.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_measure, collection, first).result()


def _measure(collection: Path, first: Path) -> tuple[float, float]:
    """Seconds a series and peak memory in MB, after one series that warms up."""
    import cv2

    from lungdx_paddle.preprocess.pipeline import preprocess
    from lungdx_paddle.workers import ALONE

    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as out, contextlib.redirect_stderr(io.StringIO()):
        preprocess(first, Path(out, "warm"), workers=ALONE)
        start = time.perf_counter()
        report = preprocess(collection, Path(out, "timed"), workers=ALONE)
        seconds = time.perf_counter() - start
    return seconds / len(report.series), peak_mb()


def _medians(size: int, runs: Sequence[tuple[float, float]]) -> dict[str, Any]:
    peaks = [peak for _, peak in runs if not math.isnan(peak)]
    return {
        "series": size,
        "s_per_series": median(seconds for seconds, _ in runs),
        "peak_mb": median(peaks) if peaks else None,
    }
