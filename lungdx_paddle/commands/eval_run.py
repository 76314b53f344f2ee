"""Judge a finished training: every score with its interval, and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate the run that the arguments name."""
    parser = cli.parser(__doc__, "python tools/eval.py --run output/partial_soft")
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="output folder of tools/train.py")
    add("--out", type=Path, metavar="DIR", help="where to write (default: eval in that folder)")
    add("--all", action="store_true", help="all crops, such as those of another data.manifest")
    add("--weights", choices=("best_model", "latest"), default="latest", help="(%(default)s)")
    cli.add_override_argument(parser)
    cli.add_device_argument(parser)
    args = parser.parse_args(argv)
    from lungdx_paddle.training.run import evaluate_run

    out = args.out or args.run / "eval"
    lines = evaluate_run(args.run, out, args.override, args.all, args.weights, args.device)
    cli.say("\n".join(lines))
