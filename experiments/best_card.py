"""Write the model card of best.yaml's run as a page of the docs, without pictures of patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from record import ROOT

from lungdx_paddle.commands import cli
from lungdx_paddle.files import write_text

PAGE = ROOT / "docs" / "lab" / "best_card.md"


def main(argv: Sequence[str] | None = None) -> None:
    """Write ``docs/lab/best_card.md``."""
    parser = cli.parser(__doc__, "python experiments/best_card.py --run output/best")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="a training")
    folder = parser.parse_args(argv).run
    from lungdx_paddle.inference.export import describe
    from lungdx_paddle.inference.model_card import Evidence, model_card
    from lungdx_paddle.training.run import load_run

    run = load_run(folder)
    write_text(PAGE, model_card(run, describe(run), Evidence.of(run), {}))
    cli.say(f"written to {PAGE}")


if __name__ == "__main__":
    cli.run(main)
