"""Compare the four methods: several seeds, both splits, one manifest; the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.commands import cli

METHODS = [
    cli.DEFAULT_CONFIG.with_name(f"{name}.yaml")
    for name in ("single_task", "hard", "soft", "partial_soft")
]


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the methods that the arguments name."""
    example = "python tools/compare.py -o data.manifest=crops/manifest.csv --seeds 3"
    parser = cli.parser(__doc__, example)
    add = parser.add_argument
    add("--configs", type=Path, nargs="+", default=METHODS, metavar="FILE", help="(the paper's)")
    cli.add_override_argument(parser)
    add("--seeds", type=int, default=5, metavar="N", help="trainings of each (default: 5)")
    add("--splits", nargs="+", choices=("image", "nodule", "patient"), default=["image", "patient"])
    add("--out", type=Path, default=Path("output/compare"), metavar="DIR", help="(%(default)s)")
    add("--jobs", type=int, metavar="N", help="trainings at once (default: one a core)")
    args = parser.parse_args(argv)
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.config import load_config
    from lungdx_paddle.training.compare import compare, plan_of

    first = load_config(args.configs[0], [*args.override, f"output={args.out / 'runs'}"])
    data = f"data.manifest={with_data(first, cli.say).data.manifest}"
    plan = plan_of(args.configs, [*args.override, data], args.seeds, args.splits, args.out)
    cli.say("\n".join(compare(plan, args.jobs, cli.say)))
