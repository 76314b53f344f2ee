"""Cut the nodules out of a LIDC-IDRI collection: crops, manifest.csv and report.json."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Sequence

from lungdx_paddle import cli


def main(argv: Optional[Sequence[str]] = None) -> None:
    parser = cli.parser(__doc__, "python tools/preprocess.py --lidc LIDC-IDRI --out crops")
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="folder or zip archive of DICOM files")
    add("--out", type=Path, metavar="DIR", required=True, help="where to write")
    add("--xml", type=Path, metavar="DIR_OR_ZIP", help="LIDC XML (default: beside the DICOM)")
    add("--diagnosis", type=Path, metavar="FILE", help="diagnosis table (default: in --lidc)")
    add("--window", default="20,2040", help="centre,width in HU, lung or header (20,2040)")
    add("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    add("--annotations-only", action="store_true", help="just nodules.csv from --xml, no DICOM")
    args = parser.parse_args(argv)
    if not (args.xml if args.annotations_only else args.lidc):
        parser.error("--annotations-only needs --xml" if args.annotations_only else "give --lidc")

    from lungdx_paddle.preprocess import nodule_table, pipeline, window

    if args.annotations_only:
        lines = nodule_table.write_nodule_table(args.xml, args.out).summary()
    else:
        settings = dict(xml=args.xml, diagnosis=args.diagnosis, jobs=args.jobs)
        settings["window"] = window.parse_window(args.window)
        lines = pipeline.preprocess(args.lidc, args.out, **settings).summary()
    cli.say("\n".join((*lines, f"written to {args.out}")))


if __name__ == "__main__":
    cli.run(main)
