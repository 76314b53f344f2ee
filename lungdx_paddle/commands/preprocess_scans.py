"""Cut the nodules out of LIDC-IDRI scans or slices; write the slices of any CT as JPG."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path

from lungdx_paddle.commands import cli
from lungdx_paddle.errors import ConfigError
from lungdx_paddle.lidc import find_annotations
from lungdx_paddle.lidc.annotations import LeftOutXml
from lungdx_paddle.lidc.catalogue import USUAL_PIXEL_SPACING_MM
from lungdx_paddle.lidc.sources import UNPACK, Skipped
from lungdx_paddle.locks import alone_in
from lungdx_paddle.manifest import CROP_RULES
from lungdx_paddle.manifest_cells import STRETCHED
from lungdx_paddle.preprocess.crop import PAPER
from lungdx_paddle.preprocess.crop_files import CropSettings
from lungdx_paddle.preprocess.diagnosed import DiagnosedManifest, add_diagnoses
from lungdx_paddle.preprocess.nodule_table import NoduleTable, write_nodule_table
from lungdx_paddle.preprocess.patches.patch_pipeline import preprocess_slices
from lungdx_paddle.preprocess.pipeline import preprocess
from lungdx_paddle.preprocess.report import (
    DONE,
    FAILED,
    UNMARKED,
    Report,
    by_reason,
)
from lungdx_paddle.preprocess.slice_images import LUNG_MASKS, write_slice_images
from lungdx_paddle.preprocess.source_names import absolute, named
from lungdx_paddle.preprocess.window import DEFAULT_WINDOW, Window, parse_window
from lungdx_paddle.words import EXAMPLES, first_few
from lungdx_paddle.workers import executor


def main(argv: Sequence[str] | None = None) -> None:
    """Write what the arguments name, and print what was done and what was left out.

    Raises:
        ConfigError: nothing to preprocess is named, several things, or one without its XML.
        LungdxError: the data are bad, or the folder cannot be written to.
    """
    parser = cli.parser(__doc__, "python tools/preprocess.py --lidc LIDC-IDRI --out crops")
    add = parser.add_argument
    add("--lidc", type=Path, metavar="DIR", help="folder or zip archive of DICOM files")
    add("--slices", type=Path, metavar="DIR_OR_ZIP", help="the public set of slices, with --xml")
    add("--manifest", type=Path, metavar="FILE", help="of crops that are there: add --diagnosis")
    add("--annotations-only", action="store_true", help="just nodules.csv from --xml, no DICOM")
    add("--out", type=Path, metavar="DIR", required=True, help="where to write")
    add("--xml", type=Path, metavar="DIR_OR_ZIP", help="LIDC XML (default: beside the DICOM)")
    add("--diagnosis", type=Path, metavar="FILE", help="diagnosis table (default: in --lidc)")
    add("--crop", choices=CROP_RULES, default=PAPER, help="rule of the crops (default: paper)")
    add("--jpg", action="store_true", help="each slice of --lidc as JPG, with or without XML")
    add("--lungs", choices=LUNG_MASKS, help="as --jpg, with lung mask and parenchyma")
    add("--window", help="centre,width in HU (20,2040), lung or header")
    add("--stretched", action="store_true", help="--slices as they are, no HU (to compare)")
    add("--jobs", type=int, metavar="N", help="processes (default: one a core)")
    add("--dask", metavar="ADDRESS", help="scheduler of a cluster, such as tcp://10.0.0.1:8786")
    args = parser.parse_args(argv)
    _check_task(args)
    crops = CropSettings(args.crop, _window(args))
    more = {"xml": args.xml, "diagnosis": args.diagnosis}
    own = alone_in(args.out, wait=True)
    shared = [path for path in (args.lidc or args.slices, args.xml, args.out) if path]
    if args.annotations_only:
        lines = table_lines(write_nodule_table(args.xml, args.out))
    elif args.manifest:
        with own:
            lines = diagnosed_lines(add_diagnoses(args.manifest, args.diagnosis, args.out))
    elif args.slices:
        with own, executor(args.jobs, args.dask, shared) as pool:
            report = preprocess_slices(args.slices, args.out, crops=crops, pool=pool, **more)
        lines = report_lines(report)
    else:
        with own, executor(args.jobs, args.dask, shared) as pool:
            lines, has_marks = [], True
            if args.jpg or args.lungs:
                lines, has_marks = _write_jpg(args, crops.window, pool)
            if has_marks:
                report = preprocess(args.lidc, args.out, crops=crops, pool=pool, **more)
                lines += report_lines(report)
    cli.say(*lines, f"written to {args.out}")


def _check_task(args: argparse.Namespace) -> None:
    tasks = {"--lidc": args.lidc, "--slices": args.slices, "--manifest": args.manifest}
    tasks["--annotations-only"] = args.annotations_only
    named = [name for name, value in tasks.items() if value]
    beside = "--diagnosis" if args.manifest else "--xml"
    if len(named) != 1 or not (args.lidc or (args.diagnosis if args.manifest else args.xml)):
        raise ConfigError(
            "what to preprocess",
            expected="--lidc, or one of --slices and --annotations-only with --xml, or --manifest "
            "with --diagnosis",
            found=" and ".join(named) + (f" without {beside}" if len(named) == 1 else "")
            or "neither",
            fix="see tools/preprocess.py --help",
        )
    if (args.jpg or args.lungs) and not args.lidc:
        raise ConfigError(
            "--jpg, --lungs",
            expected="--lidc with the DICOM files of any CT",
            found=named[0],
            fix="name their folder or zip archive",
        )


def _window(args: argparse.Namespace) -> Window | None:
    """The window of the gray values; None: the source's own."""
    window = parse_window(args.window) if args.window else DEFAULT_WINDOW
    if args.stretched and (args.window or not args.slices):
        raise ConfigError(
            "--stretched",
            expected="--slices, and no window: its gray values are no HU",
            found=f"--window {args.window}" if args.window else "no --slices",
            fix="leave one of them out",
        )
    if args.slices and not window:
        raise ConfigError(
            "--window",
            expected="a centre and a width with --slices, whose pictures have no header",
            found=args.window,
            fix="leave it out for 20,2040",
        )
    return None if args.stretched else window


def _write_jpg(
    args: argparse.Namespace, window: Window | None, pool: Executor | None
) -> tuple[list[str], bool]:
    """Write the slices of ``--lidc`` as JPG; returns report lines, and whether to cut crops."""
    report = write_slice_images(args.lidc, args.out, window=window, lungs=args.lungs, pool=pool)
    series = len(report.series)
    masks = f", with lung masks ({args.lungs})" if args.lungs else ""
    done = f"{series - len(report.failed)} of {series} series"
    lines = [f"{cli.count_of(report.slices, 'slice')} of {done} as JPG{masks}: slices.csv"]
    lines += _some(
        [f"{s.patient_id}: no slices: {s.failure}" for s in report.failed], "slices.json"
    )
    annotations, left_out = find_annotations(absolute(args.lidc))
    if args.xml or set(annotations) & {s.series_uid for s in report.series}:
        return lines, True  # with --xml, crops that cannot be cut are an error
    unusual = [f"{s.patient_id}: {text}" for s in report.series for text in s.warnings]
    no_ct = [file for file in report.skipped if not file.path.lower().endswith(".xml")]
    lines += _some(unusual, "slices.json")
    lines += skipped_lines([*no_ct, *named(left_out, args.lidc)], "slices.json")
    others = f", but of {len(annotations)} others" if annotations else ""
    return [*lines, f"no crops: there is no LIDC XML of these series{others}"], False


def _alike(patient_ids: Iterable[str]) -> list[str]:
    """Patient IDs that may be one: they count as two, in cross-validation too."""
    alike: dict[str, list[str]] = {}
    for patient_id in sorted(patient_ids):
        alike.setdefault("".join(patient_id.split()).casefold(), []).append(patient_id)
    return [
        f"patients {' and '.join(map(repr, ids))} differ only by case or blanks, and count as "
        f"{len(ids)}: if they are one, write one PatientID in their files"
        for ids in alike.values()
        if len(ids) > 1
    ]


def report_lines(report: Report) -> list[str]:
    """Totals, then what wants attention; UIDs and single files stand in report.json."""
    done = report.having(DONE)
    nodules = cli.count_of(sum(s.nodules for s in done), "nodule")
    crops = cli.count_of(report.crops, "crop")
    patients = cli.count_of(len({s.patient_id for s in report.series}), "patient")
    lines = [f"{len(done)} of {len(report.series)} series done: {nodules}, {crops} of {patients}"]
    lines += _some([f"{s.patient_id}: failed: {s.reason}" for s in report.having(FAILED)])
    lines += _some(_alike({s.patient_id for s in report.series}))
    unmarked = [s.patient_id for s in report.having(UNMARKED)]
    if unmarked:
        lines.append(f"{len(unmarked)} series without LIDC XML: {first_few(unmarked)}")
    if unmarked and report.elsewhere:
        uid = report.having(UNMARKED)[0].series_uid
        lines.append(
            f"the XML files name {len(report.elsewhere)} other series, such as "
            f"{report.elsewhere[0]}; the first without XML is {uid}: if they belong together, "
            "one of the two was anonymised again"
        )
    without: dict[str, list[str]] = {}
    for s in done:
        if not s.crops:
            without.setdefault(s.reason, []).append(s.patient_id)
    lines += _some(
        [f"{len(ids)} series without a crop, {r}: {first_few(ids)}" for r, ids in without.items()]
    )
    lacking = [s for s in report.series if s.missing_slices]
    if lacking:
        count = cli.count_of(sum(len(s.missing_slices) for s in lacking), "outlined slice")
        where = first_few([f"{s.patient_id} ({len(s.missing_slices)})" for s in lacking])
        lines.append(f"{count} missing, see report.json: {where}")
    lines += _some([f"{s.patient_id}: {text}" for s in report.series for text in s.warnings])
    lines += _some(report.diagnosis_notes)
    if not report.diagnosed_patients:
        why = "no patient has a diagnosis" if report.diagnosis_notes else "no diagnosis table"
        lines.append(
            f"{why}: the crops lack pathology labels; train them with -o data.label_set=none"
        )
    if STRETCHED in report.hu_from:
        lines.append(
            f"{crops} stretched from black to white picture by picture: their gray values are no "
            "HU, and a model that is trained on them reads no CT"
        )
    elif report.hu_from:
        hu_from = ", ".join(f"{source} {count}" for source, count in report.hu_from.items())
        lines.append(f"crops by where their HU come from: {hu_from}")
    lines += [
        f"left out: {len(entries)}, {reason}: {first_few([entry.path for entry in entries])}"
        for reason, entries in by_reason(report.left_out).items()
    ]
    return lines + skipped_lines(report.skipped)


def diagnosed_lines(found: DiagnosedManifest) -> list[str]:
    """How many patients the table has, and what is doubtful."""
    crops, patients = cli.count_of(found.crops, "crop"), cli.count_of(found.patients, "patient")
    lines = [f"{crops} of {patients}: {found.diagnosed} diagnosed, {found.of_nodules} by nodule"]
    if found.changed:
        who = cli.count_of(len(found.changed), "patient")
        lines.append(f"the table's diagnosis replaces another of {who}: {first_few(found.changed)}")
    return lines + _some(found.notes, "")


def table_lines(table: NoduleTable) -> list[str]:
    """What ``nodules.csv`` holds, and what was left out."""
    nodules = cli.count_of(table.nodules, "nodule")
    readings = cli.count_of(table.readings, "reading")
    lines = [f"{nodules} of {readings} in {table.series} series"]
    if table.unknown:
        lines.append(
            f"{table.unknown} series not of LIDC-IDRI: a pixel spacing of "
            f"{USUAL_PIXEL_SPACING_MM:g} mm assumed"
        )
    return lines + _some(table.warnings, "") + skipped_lines(table.skipped, "")


def skipped_lines(skipped: Sequence[Skipped], file: str = "report.json") -> list[str]:
    """XML files whose marks may be missed by name, the other files by number and reason."""
    marks = [file for file in skipped if isinstance(file, LeftOutXml)]
    skipped = [file for file in skipped if not isinstance(file, LeftOutXml)]
    # One archive holds many files.
    groups = sorted(by_reason(skipped).items(), key=lambda g: (UNPACK not in g[0], -len(g[1])))
    lines = _some([f"left out: {xml.path}: {xml.reason}" for xml in marks], file)
    lines += [
        f"{cli.count_of(len(files), 'file')} left out: {reason}"
        for reason, files in groups[:EXAMPLES]
    ]
    if others := sum(len(files) for _, files in groups[EXAMPLES:]):
        lines.append(f"{cli.count_of(others, 'file')} left out for other reasons")
    return lines


def _some(lines: Sequence[str], file: str = "report.json") -> list[str]:
    more = len(lines) - EXAMPLES
    rest = f"{more} more" + (f" in {file}" if file else "")
    return [*lines[:EXAMPLES], *([rest] if more > 0 else [])]
