"""Malignancy level and pathology class of nodules, a line each of JSON or CSV."""

from __future__ import annotations

import csv
import glob
import importlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError, ManifestError
from lungdx_paddle.files import check_file, writable_folder, write_text, write_together
from lungdx_paddle.runtime import chosen_threads

if TYPE_CHECKING:  # --help needs no model
    import argparse

    from lungdx_paddle.inference.findings import Finding
    from lungdx_paddle.inference.predictor import Predictor
    from lungdx_paddle.lidc import Series
    from lungdx_paddle.lidc.regions import Region

MARKS = ("xml", "seg", "nodule", "point_mm", "points", "box")
"""Arguments that name the nodules of a CT; one of them is given."""


def main(argv: Sequence[str] | None = None) -> None:
    """Print a JSON line for each crop, row or nodule of the arguments."""
    example = (
        "python tools/predict.py --model inference --manifest crops/manifest.csv --report page.html"
    )
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--model", type=Path, required=True, metavar="DIR", help="what tools/export.py wrote")
    add("images", nargs="*", default=[], metavar="CROP", help="32x32 JPGs, or folders of them")
    add("--manifest", type=Path, metavar="FILE", help="every row of a manifest.csv instead")
    add("--series", type=Path, metavar="DIR", help="nodules of a CT instead, named by one of:")
    add("--xml", type=Path, metavar="FILE", help="the LIDC XML file of that CT")
    add("--seg", type=Path, metavar="FILE", help="a DICOM SEG or RTSTRUCT of that CT")
    nodule = "a pixel of it and its slice: an index from 0 at the caudal end, or instance=N, z=MM, "
    nodule += "file=NAME; may repeat"
    add("--nodule", action="append", metavar="X,Y,SLICE", help=nodule)
    point_mm = "a place in the patient's coordinates; may repeat"
    add("--point-mm", action="append", metavar="X,Y,Z", help=point_mm)
    points = "places in mm: {series UID: [[x, y, z]]}, or LUNA25's nodule-locations.json"
    add("--points", type=Path, metavar="JSON", help=points)
    box = "first and last pixel and slice of a box about it; may repeat"
    add("--box", action="append", metavar="X,Y,SLICE,X,Y,SLICE", help=box)
    series_uid = "the CT series, where --series holds several; the end of its UID is enough"
    add("--series-uid", default="", metavar="UID", help=series_uid)
    add("--by", choices=("crop", "nodule", "patient"), help="pool lines (default: as they come)")
    add("--csv", action="store_true", help="print a table instead of JSON lines")
    add("--explain", action="store_true", help="add which pixels speak for the answers; slower")
    add("--report", type=Path, metavar="HTML", help="write a page to read and to print, too")
    add("--sr", type=Path, metavar="OUT", help="write a DICOM structured report of that CT, too")
    add("--seg-out", type=Path, metavar="OUT", help="write a DICOM SEG of the nodules, too")
    args = parser.parse_args(argv)
    _check_outputs(args)
    predictor, found = _findings(args)
    findings = list(_shown(args, predictor, found))
    if args.csv:
        cli.say(*findings_table(findings).splitlines())
    if not findings:
        cli.note(f"nothing to predict: {args.xml or args.manifest} outlines no nodule")
    elif args.sr or args.seg_out:
        _write_objects(args, findings)
    if args.report:
        from lungdx_paddle.reporting.page import report

        write_text(args.report, report(findings, predictor))
        cli.note(f"Wrote {args.report}")
    cli.note(RESEARCH_USE)


def _shown(
    args: argparse.Namespace, predictor: Predictor, findings: Iterable[Finding]
) -> Iterator[Finding]:
    """The findings at the level that the arguments name, each printed as it comes."""
    from lungdx_paddle.inference.pooling import by_nodule, by_patient

    told: set[str] = set()
    pool = {"nodule": by_nodule, "patient": by_patient}.get(args.by)
    for finding in pool(findings) if pool else findings:
        if args.explain:
            from lungdx_paddle.inference.occlusion import explained

            finding = explained(predictor, finding)
        for warning in _warnings(finding):
            if warning not in told:
                told.add(warning)
                cli.note(f"warning: {warning}")
        if not args.csv:
            cli.say(json.dumps(finding.to_dict(), ensure_ascii=False))
        yield finding


def findings_table(findings: Sequence[Finding]) -> str:
    """Findings as CSV: what they are about, each task's answer and probabilities, warnings.

    Lists are written with semicolons; an outline is left out.
    """
    rows = []
    for finding in findings:
        row = {name: _cell(value) for name, value in finding.about.items() if name != "outline"}
        for task, entries in finding.to_dict().items():
            if task in finding.classes:
                for name, value in entries.items():
                    if name == "probabilities":
                        classes = finding.classes[task]
                        row |= {f"{task}_p_{c}": _cell(p) for c, p in zip(classes, value)}
                    elif name != "occlusion":
                        row[f"{task}_{name}"] = _cell(value)
        rows.append({**row, "warnings": "; ".join(finding.warnings)})
    names = dict.fromkeys(name for row in rows for name in row if name != "warnings")
    text = io.StringIO()
    table = csv.DictWriter(text, [*names, "warnings"], restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    return text.getvalue().rstrip("\n")


def _cell(value: object) -> str:
    if isinstance(value, list):
        return ";".join(map(str, value))
    return "" if value is None else str(value)


def _check_outputs(args: argparse.Namespace) -> None:
    """See that outputs can be made and written, before minutes are spent on predictions."""
    if args.report:
        importlib.import_module("lungdx_paddle.reporting.page")  # needs an extra
    if (args.sr or args.seg_out) and not args.series:
        raise ConfigError(
            "--sr and --seg-out",
            expected="--series with them",
            found="no --series",
            fix="see tools/predict.py --help",
        )
    if args.sr or args.seg_out:
        importlib.import_module("lungdx_paddle.reporting.structured_report")  # needs an extra
    inputs = (args.xml, args.seg, args.points, args.manifest, args.series)
    taken = {path.resolve() for path in inputs if path}
    taken |= {Path(image).resolve() for image in args.images}
    for path in (args.report, args.sr, args.seg_out):
        if path is None:
            continue
        check_file(path)
        whole = path.resolve()
        if whole in taken or (path.exists() and args.series in (*path.parents, *whole.parents)):
            raise ConfigError(
                str(path),
                expected="a file of its own for each output, and none that is read",
                found="one that another option names, or a file of the CT",
                fix="name another file",
            )
        taken.add(whole)
        writable_folder(path.parent)


def _write_objects(args: argparse.Namespace, findings: Sequence[Finding]) -> None:
    from lungdx_paddle.inference.description import read_description
    from lungdx_paddle.reporting.dicom_source import dicom_bytes
    from lungdx_paddle.reporting.segmentation import segmentation
    from lungdx_paddle.reporting.structured_report import structured_report

    makers = ((args.sr, structured_report), (args.seg_out, segmentation))
    description = read_description(args.model)
    made = {path: dicom_bytes(make(findings, description)) for path, make in makers if path}
    write_together(made)
    there = sum(finding.images is not None for finding in findings)
    left_out = f", {len(findings) - there} without a slice left out" * (there < len(findings))
    for path in made:
        cli.note(f"{cli.count_of(there, 'nodule')} in {path}{left_out}")


def _warnings(finding: Finding) -> list[str]:
    reason = finding.about.get("reason")
    own = [f"nodule {finding.about['nodule']}: {reason}"] if reason else []
    return [*finding.warnings, *own]


def _findings(args: argparse.Namespace) -> tuple[Predictor, Iterator[Finding]]:
    """The model, and what it finds; the arguments are checked before it is loaded."""
    sources = [name for name in ("images", "manifest", "series") if getattr(args, name)]
    marks = [name for name in MARKS if getattr(args, name)]
    if args.series_uid and not args.series:
        sources.append("series_uid")
    if len(sources) != 1 or len(marks) != (sources == ["series"]):
        raise ConfigError(
            "arguments",
            expected="crops, or --manifest, or --series with one of "
            + ", ".join(f"--{name.replace('_', '-')}" for name in MARKS),
            found=", ".join(sources + marks) or "nothing to predict",
            fix="see tools/predict.py --help",
        )
    from lungdx_paddle.inference.findings import findings_from_crops, findings_from_manifest

    images = [path for name in args.images for path in _crop_files(name)]
    # Imported here: a prediction from crops does without pydicom and SciPy.
    mark = _mark(args) if args.series else None
    predictor = _load(args.model, at_once=chosen_threads() if args.manifest else 1)
    if args.manifest:
        return predictor, findings_from_manifest(predictor, args.manifest)
    if mark is None:
        return predictor, findings_from_crops(predictor, images)
    return predictor, mark(predictor)


def _mark(args: argparse.Namespace) -> Callable[[Predictor], Iterator[Finding]]:
    """How the nodules of the CT are found; the arguments are checked before a model is loaded."""
    # Imported here: a prediction from crops does without pydicom and SciPy.
    from lungdx_paddle.inference import locate, place_names, scan_findings
    from lungdx_paddle.inference.points import points_of, read_points

    uid = args.series_uid
    if args.seg:
        return lambda model: scan_findings.findings_from_segmentation(
            model, args.series, args.seg, uid
        )
    if args.xml:
        return lambda model: scan_findings.findings_from_readings(model, args.series, args.xml, uid)
    regions = place_names.regions_named(args.nodule or (), args.point_mm or (), args.box or ())
    if args.points:
        by_series = read_points(args.points)

        def regions(series: Series) -> list[Region]:
            return locate.regions_of_places(series, points_of(by_series, series.series_uid))

    return lambda model: scan_findings.findings_in_series(model, args.series, regions, uid)


def _load(folder: Path, at_once: int) -> Predictor:
    from lungdx_paddle.inference.predictor import Predictor

    if folder.is_dir():
        cli.note(f"loading {folder}")  # takes seconds where Paddle is imported for it
    predictor = Predictor(folder, at_once)
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
