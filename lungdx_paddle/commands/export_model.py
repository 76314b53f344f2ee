"""Export a training run as an inference model: the weights that it was evaluated with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lungdx_paddle.commands import cli

if TYPE_CHECKING:  # help and mistakes answer at once, without Paddle
    from lungdx_paddle.evaluation.predictions import Predictions
    from lungdx_paddle.inference.export import Draw


def main(argv: Sequence[str] | None = None) -> None:
    """Export the run that the arguments name."""
    parser = cli.parser(__doc__, "python tools/export.py --run output/partial_soft --out inference")
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="output folder of tools/train.py")
    add("--out", type=Path, required=True, metavar="DIR", help="folder for the model")
    add("--onnx", action="store_true", help="write inference.onnx too")
    add("--safetensors", action="store_true", help="write weights.safetensors too")
    pictures_help = "draw the worst mistakes of a collection that is not public, too"
    add("--pictures", action="store_true", help=pictures_help)
    args = parser.parse_args(argv)
    cli.say(f"exporting {args.run}")
    from lungdx_paddle.inference.export import export
    from lungdx_paddle.locks import alone_in
    from lungdx_paddle.training.run import load_run

    run = load_run(args.run)
    with alone_in(args.out, wait=True):
        written = export(run, args.out, args.onnx, args.safetensors, _drawing(args.pictures))
    cli.say(f"Exported step {run.step} of {args.run} to {args.out}:")
    cli.say("  " + ", ".join(path.name for path in written))
    if not any(path.suffix == ".png" for path in written):
        cli.note("the model card has no pictures of its mistakes, and says why")
    if run.step < run.config.train.steps:
        cli.note(f"{args.run} is not finished: step {run.step} of {run.config.train.steps}")
    elif not run.is_finished:
        cli.note(f"{args.run}: the scores in it are of other weights, settings or crops")


def _drawing(every: bool) -> Draw | None:
    """What draws the pictures of the model card; None, with a note, without matplotlib.

    Args:
        every: also those of a collection that is not public: a model is passed on, and with it
            the pictures of its patients.
    """
    try:
        from lungdx_paddle.figures.canvas import save_figure
        from lungdx_paddle.figures.mistake_crops import draw_mistakes
    except ImportError as error:
        cli.note(f"the model card has no pictures ({error}): pip install matplotlib")
        return None

    def draw(worst: Predictions, task: str, public: bool, path: Path) -> bool:
        if public or every:
            save_figure(draw_mistakes(worst, task, named=public), path)
        return public or every

    return draw
