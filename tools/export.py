"""Write the inference model of a training run."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.export_model import main

if __name__ == "__main__":
    cli.run(main)
