"""Cut the nodules out of LIDC-IDRI scans or slices: crops, manifest.csv and report.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Write the crops, or the table, that the arguments name."""
    parser = cli.parser(__doc__, "python tools/preprocess.py --lidc LIDC-IDRI --out crops")
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="folder or zip archive of DICOM files")
    add("--slices", type=Path, metavar="DIR_OR_ZIP", help="the public set of slices, with --xml")
    add("--out", type=Path, metavar="DIR", required=True, help="where to write")
    add("--xml", type=Path, metavar="DIR_OR_ZIP", help="LIDC XML (default: beside the DICOM)")
    add("--diagnosis", type=Path, metavar="FILE", help="diagnosis table (default: in --lidc)")
    add("--window", default="20,2040", help="centre,width in HU (20,2040), lung or header")
    add("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    add("--dask", metavar="ADDRESS", help="scheduler of a cluster, such as tcp://10.0.0.1:8786")
    add("--annotations-only", action="store_true", help="just nodules.csv from --xml, no DICOM")
    args = parser.parse_args(argv)
    from lungdx_paddle.commands.preprocess_request import carry_out

    cli.say("\n".join((*carry_out(args.out, vars(args)), f"written to {args.out}")))
