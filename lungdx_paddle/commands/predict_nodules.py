"""Malignancy level and pathology class of nodules, a JSON line each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Print a JSON line for each crop, row or nodule of the arguments."""
    parser = cli.parser(__doc__, "python tools/predict.py --model inference crops/crops/*/*.jpg")
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="what tools/export.py wrote")
    add("images", nargs="*", default=[], metavar="CROP.jpg", help="32x32 crops")
    add("--manifest", type=Path, metavar="FILE", help="every row of a manifest.csv instead")
    add("--series", type=Path, metavar="DIR", help="nodules of a CT instead, named by one of:")
    add("--xml", type=Path, metavar="FILE", help="the LIDC XML file of that CT")
    add("--nodule", action="append", metavar="X,Y,SLICE", help="a pixel of it; slices from foot")
    args = parser.parse_args(argv)
    from lungdx_paddle.commands.predict_request import answer

    for line in answer(args.model, vars(args)):
        cli.say(line)
    cli.note(RESEARCH_USE)
