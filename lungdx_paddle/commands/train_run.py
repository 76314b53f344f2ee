"""Train the two-task network; with no data configured, on a phantom made on the spot."""

from __future__ import annotations

from collections.abc import Sequence

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Train, or resume, what the arguments name."""
    parser = cli.parser(__doc__, "python tools/train.py -o data.manifest=crops/manifest.csv")
    cli.add_config_arguments(parser)
    cli.add_device_argument(parser)
    add = parser.add_argument
    add("--resume", action="store_true", help="go on from the output folder's latest checkpoint")
    add("--jobs", type=int, metavar="N", help="folds trained at once (default: one a core)")
    add("--audit", action="store_true", help="train it split by patient too: the honest number")
    args = parser.parse_args(argv)
    from lungdx_paddle.config import load_config

    asked = load_config(args.config, args.override)
    from lungdx_paddle.commands.phantom_data import with_data
    from lungdx_paddle.training.crossval import train_and_tell
    from lungdx_paddle.training.parallel.jobs import How
    from lungdx_paddle.training.parallel.processes import join
    from lungdx_paddle.workers import Workers

    config = join().rank_zero_first(lambda: with_data(asked, cli.say))
    how = How(Workers(args.jobs), args.device, args.resume)
    train_and_tell(config, how, args.audit, cli.say)
