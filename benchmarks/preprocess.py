"""How fast DICOM becomes lung masks and crops: by stage, beside SciPy and scikit-image.

Without --lidc the series is a phantom, made by a program.  All is done on one core.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from timing import machine, machine_line, markdown_table, write_json

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import InstallError
from lungdx_paddle.files import writable_folder

ROUNDS = 5
SIZES = (1, 2, 4, 8, 16, 32)
"""Numbers of series in a collection."""
PHANTOM_SLICES, PHANTOM_ROWS = 32, 512


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/preprocess.py --lidc LIDC-IDRI/LIDC-IDRI-0001")
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR_OR_ZIP", help="one series with its XML; copied 32 times")
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--rounds", type=int, default=ROUNDS, metavar="N", help="(%(default)s; growth: 3 at most)")
    add("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="series of a collection")
    add("--quick", action="store_true", help="one round, two sizes: does it run at all?")
    args = parser.parse_args(argv)
    _require_skimage()
    writable_folder(args.out)
    with tempfile.TemporaryDirectory() as folder:
        sizes, rounds = (SIZES[:2], 1) if args.quick else (args.sizes, args.rounds)
        record = benchmark(args.lidc, Path(folder), sizes, rounds, args.quick)
    from growth import draw

    path = write_json(args.out, "preprocess", record)
    picture = draw(record, args.out / "preprocess_growth.png")
    cli.say("\n".join((*table(record), f"written to {path} and {picture}")))


def benchmark(
    lidc: Path | None, folder: Path, sizes: Sequence[int], rounds: int, quick: bool
) -> dict[str, Any]:
    """Time every stage on one series, then collections of its copies made in ``folder``."""
    import cv2
    from growth import grow
    from stages import load, time_stages

    cv2.setNumThreads(1)
    source = lidc or _phantom(folder / "phantom", quick)
    subject = load(source)
    stages = time_stages(subject, folder, rounds)
    growth_rounds = min(rounds, 3)
    return {
        "benchmark": "preprocess",
        "data": "phantom" if subject.is_phantom else subject.scan.patient_id,
        "shape_zyx": list(subject.scan.series.shape_zyx),
        "crops": subject.crops,
        "threads": 1,
        "rounds": {"stages": rounds, "growth": growth_rounds},
        "machine": machine(),
        "stages": stages,
        "growth": grow(source, subject.scan.series.series_uid, folder, sizes, growth_rounds),
    }


def table(record: dict[str, Any]) -> list[str]:
    """The record as lines of Markdown."""
    slices, rows, columns = record["shape_zyx"]
    head = ("stage", "ms/slice", "slices/s", "pydicom, SciPy", "scikit-image", "same result")
    return [
        f"Data: {record['data']}, {slices} slices of {rows}x{columns}, {record['crops']} crops; "
        f"one thread, median of {record['rounds']['stages']} interleaved rounds.",
        f"Machine: {machine_line(record['machine'])}.",
        "",
        markdown_table(head, [_stage_cells(stage) for stage in record["stages"]]),
        "",
        markdown_table(
            ("series in the collection", "s a series", "peak memory, MB"),
            [_growth_cells(size) for size in record["growth"]],
        ),
        "",
    ]


def _stage_cells(stage: dict[str, Any]) -> list[str]:
    beside = stage["beside"]
    first = beside.get("pydicom") or beside.get("SciPy")
    same = [f"{other['same']:.6f}" for other in beside.values()]
    return [
        stage["stage"],
        f"{stage['ms_per_slice']:.2f}",
        f"{stage['slices_per_s']:.0f}",
        _ratio(first),
        _ratio(beside.get("scikit-image")),
        ", ".join("yes" if float(value) == 1 else value for value in same) or "-",
    ]


def _ratio(other: dict[str, Any] | None) -> str:
    return f"{other['times_ours']:.1f} x" if other else "-"


def _growth_cells(size: dict[str, Any]) -> list[str]:
    memory = size["peak_mb"]
    return [
        str(size["series"]),
        f"{size['s_per_series']:.3f}",
        "not known" if memory is None else f"{memory:.0f}",
    ]


def _phantom(folder: Path, quick: bool) -> Path:
    from lungdx_paddle.phantom import write_phantom
    from lungdx_paddle.phantom.collection import PhantomSettings

    rows, slices = (128, 6) if quick else (PHANTOM_ROWS, PHANTOM_SLICES)
    write_phantom(folder, patients=1, jobs=1, settings=PhantomSettings(rows=rows, slices=slices))
    return folder


def _require_skimage() -> None:
    try:
        import skimage  # noqa: F401
    except ImportError as error:
        raise InstallError(
            "scikit-image",
            expected="the package beside which the stages are timed",
            found=str(error),
            fix="pip install -e '.[bench]'",
        ) from error


if __name__ == "__main__":
    cli.run(main)
