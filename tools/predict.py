"""Malignancy level and pathology class of nodule crops, a JSON line each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Optional, Sequence

from lungdx_paddle import cli
from lungdx_paddle.about import RESEARCH_USE


def parse(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = cli.parser(__doc__, "python tools/predict.py --model inference crops/*/*.jpg")
    parser.add_argument("--model", type=Path, required=True, help="folder of tools/export.py")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("images", nargs="*", default=[], metavar="CROP.jpg", help="32x32 crops")
    what.add_argument("--manifest", type=Path, help="predict every row of a manifest.csv")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> None:
    args = parse(argv)
    from lungdx_paddle.inference.findings import as_line, of_crops, of_manifest
    from lungdx_paddle.inference.predictor import Predictor

    predictor = Predictor(args.model)
    found = (
        of_manifest(predictor, args.manifest) if args.manifest else of_crops(predictor, args.images)
    )
    for finding in found:
        cli.say(as_line(finding))
    cli.note(RESEARCH_USE)


if __name__ == "__main__":
    cli.run(main)
