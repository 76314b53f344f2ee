"""Write the inference model of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lungdx_paddle.commands import cli


def main(argv: Sequence[str] | None = None) -> None:
    """Export the run that the arguments name."""
    parser = cli.parser(__doc__, "python tools/export.py --run output/partial_soft --out inference")
    parser.add_argument("--run", type=Path, required=True, help="output folder of tools/train.py")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--weights", choices=("best_model", "latest"), default="best_model", help="which checkpoint"
    )
    parser.add_argument("--onnx", action="store_true", help="write inference.onnx too")
    args = parser.parse_args(argv)
    from lungdx_paddle.files import writable_folder
    from lungdx_paddle.inference.export import export

    written = export(args.run, writable_folder(args.out), args.weights, args.onnx)
    cli.say("wrote " + ", ".join(str(path) for path in written))
