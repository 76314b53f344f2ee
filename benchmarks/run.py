"""Every benchmark, one after the other: one JSON file and one page of tables.

What a benchmark lacks, such as ONNX Runtime or PyTorch, is said in its place.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import LungdxError
from lungdx_paddle.files import writable_folder, write_text

TITLES = {
    "preprocess": "Preprocessing",
    "loader": "Reading crops",
    "train_step": "Training step",
    "distributed": "Several processes",
    "inference": "Inference",
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = cli.parser(__doc__, "python benchmarks/run.py --torch-python PYTHON")
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="DICOM of one series with its XML")
    add("--run", type=Path, metavar="DIR", help="output folder of tools/train.py, to be exported")
    add("--torch-python", default=sys.executable, metavar="FILE", help="a Python with PyTorch")
    add("--out", type=Path, default=Path("output/benchmarks"), metavar="DIR", help="(%(default)s)")
    add("--only", nargs="+", choices=TITLES, default=list(TITLES), help="(all)")
    add("--quick", action="store_true", help="tiny sizes: does it run at all?")
    args = parser.parse_args(argv)
    writable_folder(args.out)
    quick = ["--quick"] if args.quick else []
    sizes = ["--sizes", *("200 400" if args.quick else "1000 11409 100000").split()]
    few = "--rounds 1 --sizes 1 4 8".split()
    torch = ["--torch-python", args.torch_python]
    own: dict[str, list[str]] = {
        "preprocess": [*few, *(["--lidc", str(args.lidc)] if args.lidc else []), *quick],
        "loader": sizes,
        "train_step": [*torch, *quick],
        "distributed": quick,
        "inference": [*torch, *(["--run", str(args.run)] if args.run else []), *quick],
    }
    pages, record = [f"# Benchmarks\n\n*{RESEARCH_USE.capitalize()}.*\n"], {}
    for name in args.only:
        cli.note(f"{TITLES[name]} ...")
        start = time.perf_counter()
        said = _run(name, [*own[name], "--out", str(args.out)])
        record[name] = _written(args.out / f"{name}.json", start, said)
        pages.append(f"## {TITLES[name]}\n\n{said}\n\n{record[name]['seconds']:.0f} s.\n")
    write_text(args.out / "benchmarks.json", json.dumps(record, indent=1) + "\n")
    write_text(args.out / "benchmarks.md", "\n".join(pages))
    cli.say("\n".join(pages))
    cli.say(f"written to {args.out / 'benchmarks.json'} and {args.out / 'benchmarks.md'}")


def _run(name: str, arguments: Sequence[str]) -> str:
    """What a benchmark prints, or why it could not."""
    module: Any = __import__(name)
    main: Callable[[Sequence[str]], None] = module.main
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            main(arguments)
    except LungdxError as error:
        return f"Left out: {error}"
    return "\n".join(line for line in said.getvalue().splitlines() if "written to" not in line)


def _written(path: Path, start: float, said: str) -> dict[str, Any]:
    seconds = time.perf_counter() - start
    if said.startswith("Left out"):
        return {"left_out": said, "seconds": seconds}
    return {**json.loads(path.read_text(encoding="utf-8")), "seconds": seconds}


if __name__ == "__main__":
    cli.run(main)
