"""Compare the four methods: several seeds, both splits, one manifest; the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle import RESEARCH_USE
from lungdx_paddle.commands import cli

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
    splits = ("image", "nodule", "patient")
    splits_help = "how to split the crops (default: image patient)"
    add("--splits", nargs="+", choices=splits, default=["image", "patient"], help=splits_help)
    out = Path("output/compare")
    out_help = "where to write (default: %(default)s)"
    add("--out", type=Path, default=out, metavar="DIR", help=out_help)
    add("--jobs", type=int, metavar="N", help="trainings at once (default: one a core)")
    cli.add_arguments(parser, "override", "device")
    args = parser.parse_args(argv)
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.config import load_config
    from lungdx_paddle.evaluation.comparison import BOTH, compare_methods
    from lungdx_paddle.figures.canvas import PHANTOM_DATA
    from lungdx_paddle.figures.method_bars import write_comparison
    from lungdx_paddle.locks import alone_in
    from lungdx_paddle.training.methods import compare, plan_methods
    from lungdx_paddle.training.parallel.jobs import JobOptions

    first = load_config(args.configs[0], [*args.override, f"output={args.out / 'runs'}"])
    with alone_in(args.out):
        manifest = with_data(first).data.manifest
        overrides = [*args.override, f"data.manifest={manifest}"]
        plan = plan_methods(args.configs, overrides, args.seeds, args.splits, args.out)
        results = compare(plan, JobOptions(args.jobs, args.device, resume=True))
        tested = [p for methods in results.values() for seeds in methods.values() for p in seeds]
        is_phantom = any(predictions.source == "phantom" for predictions in tested)
        title = PHANTOM_DATA if is_phantom else "/".join(Path(manifest).parts[-2:])
        comparison = compare_methods(results)
        paths = write_comparison(args.out, comparison, f"{title}, seeds: {args.seeds}")
    lines = [f"Test accuracy over images, mean of both tasks ({title}, seeds: {args.seeds}):"]
    for row in comparison.accuracies:
        if row.task == BOTH:
            lines.append(f"  split by {row.split:8} {row.method:14} {row.accuracy}")
        elif row.accuracy.too_few:
            lines.append(f"  split by {row.split:8} {row.method:14} {row.task}: {row.accuracy}")
    lines += [f"written to {path}" for path in paths]
    cli.say(*lines, f"For {RESEARCH_USE}.")
