"""Compare the four methods: several trainings, both splits, one manifest; the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli

if TYPE_CHECKING:  # help and mistakes answer at once, without Paddle
    from lungdx_paddle.evaluation.comparison import Comparison, MethodDifference

METHODS = ("single_task", "hard", "soft", "partial_soft")
"""The configs of the paper's methods, in its order."""


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the methods that the arguments name."""
    example = "python tools/compare.py -o data.manifest=crops/manifest.csv --seeds 3"
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    methods = [cli.DEFAULT_CONFIG.with_name(f"{name}.yaml") for name in METHODS]
    configs_help = "methods to compare (default: the paper's four)"
    add("--configs", type=Path, nargs="+", default=methods, metavar="FILE", help=configs_help)
    add("--seeds", type=int, default=5, metavar="N", help="trainings of each (default: 5)")
    split_seeds_help = "different splits they are dealt to (default: as many as seeds)"
    add("--split-seeds", type=int, metavar="M", help=split_seeds_help)
    splits = ("image", "nodule", "patient")
    splits_help = "how to split the crops (default: image patient)"
    add("--splits", nargs="+", choices=splits, default=["image", "patient"], help=splits_help)
    margin_help = "a smaller difference counts as none (default: 0.02)"
    add("--margin", type=float, metavar="D", help=margin_help)
    out = Path("output/compare")
    out_help = "where to write (default: %(default)s)"
    add("--out", type=Path, default=out, metavar="DIR", help=out_help)
    add("--jobs", type=int, metavar="N", help="trainings at once (default: one a core)")
    cli.add_arguments(parser, "override", "device")
    args = parser.parse_args(argv)
    if args.margin is not None and not 0 < args.margin < 1:
        parser.error(f"--margin: expected a number between 0 and 1, found {args.margin}")
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.config import load_config
    from lungdx_paddle.evaluation.comparison import MARGIN, compare_methods
    from lungdx_paddle.evaluation.measures import MEASURES
    from lungdx_paddle.figures.canvas import PHANTOM_DATA, save_figure
    from lungdx_paddle.figures.method_bars import draw_methods
    from lungdx_paddle.files import write_text
    from lungdx_paddle.locks import alone_in
    from lungdx_paddle.training.methods import compare, plan_methods, results_of, write_comparison
    from lungdx_paddle.training.parallel.jobs import JobOptions

    first = load_config(args.configs[0], [*args.override, f"output={args.out / 'runs'}"])
    seeds = args.seeds, args.seeds if args.split_seeds is None else args.split_seeds
    with alone_in(args.out):
        manifest = with_data(first).data.manifest
        overrides = [*args.override, f"data.manifest={manifest}"]
        plan = plan_methods(args.configs, overrides, seeds, args.splits, args.out)
        runs = compare(plan, JobOptions(args.jobs, args.device, resume=True))
        comparison = compare_methods(results_of(runs), MEASURES, args.margin or MARGIN)
        is_phantom = runs[0].metrics.data == "phantom"
        data = PHANTOM_DATA if is_phantom else "/".join(Path(manifest).parts[-2:])
        title = f"{data}, seeds: {seeds[0]}, split seeds: {seeds[1]}"
        paths = [args.out / f"figure7.{end}" for end in ("json", "md", "png")]
        write_comparison(paths[0], comparison, runs)
        write_text(paths[1], comparison_page(comparison, title))
        save_figure(draw_methods(comparison, title), paths[2])
    cli.say(*screen_lines(comparison, title), *(f"written to {path}" for path in paths))
    cli.say(f"For {RESEARCH_USE}.")


def outcome(pair: MethodDifference) -> str:
    """What a comparison of two methods has found, in words."""
    if pair.p is None:
        return f"cannot say: {pair.estimate.why}"
    if pair.differs:
        return "differs" + ", by less than the margin" * pair.equivalent
    if pair.equivalent:
        return f"equivalent within {pair.margin:g}"
    return f"cannot say: only a difference of {pair.detectable:.3f} would have been seen"


def screen_lines(comparison: Comparison, title: str) -> list[str]:
    """The first measure of each split: every method, every pair, and what it had to leave out."""
    lines = [f"Mean over trainings, 95 % interval for other trainings and patients ({title}):"]
    measures = {row.split: row.measure for row in reversed(comparison.scores)}
    for split, measure in reversed(measures.items()):
        lines.append(f"split by {split}, {measure}:")
        for row in comparison.scores:
            if (row.split, row.measure) == (split, measure):
                lines.append(f"  {row.method:28} {row.estimate}")
        single = {
            row.measure.task: row.estimate
            for row in comparison.scores
            if row.split == split
            and row.measure != measure
            and (row.measure.score, row.measure.level) == (measure.score, measure.level)
        }
        for task, estimate in single.items():
            if estimate.value is None or estimate.too_few:
                lines.append(f"  without {task}: {estimate}")
        for pair in comparison.differences:
            if (pair.split, pair.measure) == (split, measure):
                p = "" if pair.p_holm is None else f", p (Holm) {pair.p_holm:.3f}"
                name = f"{pair.first} - {pair.second}"
                lines.append(f"  {name:28} {pair.estimate}{p}: {outcome(pair)}")
    return lines


def comparison_page(comparison: Comparison, title: str) -> str:
    """Scores and differences as two tables in Markdown."""
    scores = [
        {
            "split": row.split,
            "measure": str(row.measure),
            "method": row.method,
            "mean": _digits(row.estimate.value),
            "95 % interval": _span(row.estimate.interval, row.estimate.too_few),
            "deviation": _digits(row.deviation),
            "of seeds": _digits(row.deviation_seeds),
            "of splits": _digits(row.deviation_splits),
            "trainings": ", ".join(map(_digits, row.trainings)),
            "patients": str(row.estimate.patients),
        }
        for row in comparison.scores
    ]
    differences = [
        {
            "split": row.split,
            "measure": str(row.measure),
            "first - second": f"{row.first} - {row.second}",
            "difference": _digits(row.estimate.value),
            "95 % interval": _span(row.estimate.interval, row.estimate.too_few),
            "90 % interval": _span(row.interval90),
            "p": _digits(row.p),
            "p (Holm)": _digits(row.p_holm),
            "finding": outcome(row),
        }
        for row in comparison.differences
    ]
    notes = (
        "A score is the mean over trainings of each one's own, a difference is of these means. "
        "Intervals and p are for other trainings on other patients. Deviations are of the "
        "trainings' scores: of all, of those on one split, and what the splits add."
    )
    tables = [_table(rows) for rows in (scores, differences)]
    research = f"*{RESEARCH_USE[:1].upper()}{RESEARCH_USE[1:]}.*"
    return "\n\n".join([f"# {title}", *tables, notes, research]) + "\n"


def _table(rows: Sequence[dict[str, str]]) -> str:
    names = list(rows[0])
    cells = [names, ["---"] * len(names), *(list(row.values()) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def _digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _span(interval: tuple[float, float] | None, hidden: bool = False) -> str:
    return "-" if interval is None or hidden else f"{interval[0]:.4f} to {interval[1]:.4f}"
