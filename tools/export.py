"""Export a training run as an inference model: the weights that it was evaluated with."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.export_model import main

if __name__ == "__main__":
    cli.run(main)
