"""Fetch a part of LIDC-IDRI: scans, the readers' marks (XML) and the diagnosis table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle.commands import cli

if TYPE_CHECKING:
    from lungdx_paddle.lidc.download import Fetched


def main(argv: Sequence[str] | None = None) -> None:
    """Download what the arguments name."""
    parser = cli.parser(__doc__, "python tools/download.py --diagnosed --out LIDC-IDRI")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    add = parser.add_mutually_exclusive_group(required=True).add_argument
    add("--annotations", action="store_true", help="only marks and diagnoses, no scans (10 MB)")
    add("--diagnosed", action="store_true", help="scans of the 157 diagnosed patients too")
    add("--patients", default="", metavar="LIST_OR_FILE", help="ids by commas, or one a line")
    add("--all", action="store_true", help="scans of all 1010 patients (125 GB)")
    args = parser.parse_args(argv)
    from lungdx_paddle.lidc.download import ALL, DIAGNOSED, download
    from lungdx_paddle.locks import alone_in

    patients = ALL if args.all else DIAGNOSED if args.diagnosed else args.patients
    with alone_in(args.out, wait=True):
        fetched = download(args.out, patients)
    cli.say(*fetched_lines(fetched))


def fetched_lines(fetched: Fetched) -> list[str]:
    """What lies in the folder, and the command that comes next."""
    marks = f"{fetched.xml} and {fetched.diagnosis}"
    if not fetched.series:
        return [marks]
    patients = cli.count_of(fetched.patients, "patient")
    folder, xml = cli.quoted(fetched.folder), cli.quoted(fetched.xml)
    return [
        f"{fetched.series} CT series of {patients} in {fetched.folder}, {marks}",
        f"next: python tools/preprocess.py --lidc {folder} --xml {xml} --out crops",
    ]
