"""Malignancy level and pathology class of nodules, a JSON line each."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError, ManifestError

if TYPE_CHECKING:  # --help needs no model
    import argparse

    from lungdx_paddle.inference.findings import Finding
    from lungdx_paddle.inference.predictor import Predictor


def main(argv: Sequence[str] | None = None) -> None:
    """Print a JSON line for each crop, row or nodule of the arguments."""
    example = "python tools/predict.py --model inference --manifest crops/manifest.csv"
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="what tools/export.py wrote")
    add("images", nargs="*", default=[], metavar="CROP", help="32x32 JPGs, or folders of them")
    add("--manifest", type=Path, metavar="FILE", help="every row of a manifest.csv instead")
    add("--series", type=Path, metavar="DIR", help="nodules of a CT instead, named by one of:")
    add("--xml", type=Path, metavar="FILE", help="the LIDC XML file of that CT")
    add("--seg", type=Path, metavar="FILE", help="a DICOM SEG or RTSTRUCT of that CT")
    add(
        "--nodule",
        action="append",
        metavar="X,Y,SLICE",
        help="a pixel of it; all from 0, slices from the caudal end; may repeat",
    )
    add(
        "--series-uid",
        default="",
        metavar="UID",
        help="the CT series, where --series holds several; the end of its UID is enough",
    )
    args = parser.parse_args(argv)
    told: set[str] = set()
    findings = 0
    for finding in _findings(args):
        findings += 1
        for warning in _warnings(finding):
            if warning not in told:
                told.add(warning)
                cli.note(f"warning: {warning}")
        cli.say(json.dumps(finding.to_dict(), ensure_ascii=False))
    if not findings:
        cli.note(f"nothing to predict: {args.xml or args.manifest} outlines no nodule")
    cli.note(RESEARCH_USE)


def _warnings(finding: Finding) -> list[str]:
    reason = finding.about.get("reason")
    own = [f"nodule {finding.about['nodule']}: {reason}"] if reason else []
    return [*finding.warnings, *own]


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    sources = [name for name in ("images", "manifest", "series") if getattr(args, name)]
    marks = [name for name in ("xml", "seg", "nodule") if getattr(args, name)]
    if args.series_uid and not args.series:
        sources.append("series_uid")
    if len(sources) != 1 or len(marks) != (sources == ["series"]):
        raise ConfigError(
            "arguments",
            expected="crops, or --manifest, or --series with one of --xml, --seg and --nodule",
            found=", ".join(sources + marks) or "nothing to predict",
            fix="see tools/predict.py --help",
        )
    from lungdx_paddle.inference.findings import findings_from_crops, findings_from_manifest

    images = [path for name in args.images for path in _crop_files(name)]
    if args.manifest:
        return findings_from_manifest(_load(args.model), args.manifest)
    if images:
        return findings_from_crops(_load(args.model), images)
    # Imported here: a prediction from crops does without pydicom and SciPy.
    from lungdx_paddle.inference.locate import parse_point
    from lungdx_paddle.inference.scan_findings import (
        findings_from_points,
        findings_from_readings,
        findings_from_segmentation,
    )

    if args.seg:
        return findings_from_segmentation(_load(args.model), args.series, args.seg, args.series_uid)
    if args.xml:
        return findings_from_readings(_load(args.model), args.series, args.xml, args.series_uid)
    points = [parse_point(text) for text in args.nodule]
    return findings_from_points(_load(args.model), args.series, points, args.series_uid)


def _load(folder: Path) -> Predictor:
    from lungdx_paddle.inference.predictor import Predictor

    if folder.is_dir():
        cli.note(f"loading {folder}")  # takes seconds where Paddle is imported for it
    predictor = Predictor(folder)
    for note in predictor.notes:
        cli.note(note)
    return predictor


def _crop_files(name: str) -> list[str]:
    """Crops that an argument names: a file, a folder's JPGs, or a pattern not yet expanded."""
    if Path(name).is_dir():
        found = sorted(str(path) for path in Path(name).rglob("*.jpg"))
    else:
        found = [name] if Path(name).exists() else sorted(glob.glob(name, recursive=True))
    if not found:
        raise ManifestError(
            name,
            expected="32x32 JPGs",
            found="no such file",
            fix="name crops that tools/preprocess.py wrote, such as crops/crops/*/*/*.jpg",
        )
    return found
