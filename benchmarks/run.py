"""Run all benchmarks, one after the other: one JSON file and one page of tables.

A benchmark whose packages are missing, such as ONNX Runtime, is left out and says why.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import growth
import inference
import measure
import preprocess
import train_step

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import LungdxError

ALL = {
    "Preprocessing": preprocess,
    "Training step": train_step,
    "Inference": inference,
    "Growth": growth,
}


def benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """The record of each benchmark, or why it was left out; and its seconds."""
    records: dict[str, Any] = {"benchmark": "benchmarks"}
    for title, module in ALL.items():
        cli.note(f"{title} ...")
        start = time.perf_counter()
        try:
            record = module.benchmark(options)
        except LungdxError as error:
            record = {"left_out": str(error)}
        records[module.__name__] = {**record, "seconds": time.perf_counter() - start}
    return records


def table(records: dict[str, Any]) -> str:
    """The page of all tables."""
    pages = [f"# Benchmarks\n\n*{RESEARCH_USE.capitalize()}.*"]
    for title, module in ALL.items():
        record = records[module.__name__]
        page = f"Left out: {record['left_out']}" if "left_out" in record else module.table(record)
        pages.append(f"## {title}\n\n{page}\n\n{record['seconds']:.0f} s.")
    return "\n\n".join(pages)


main = measure.command(__doc__, "run.py --torch-python PYTHON", benchmark, table)

if __name__ == "__main__":
    cli.run(main)
