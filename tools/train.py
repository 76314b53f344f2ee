"""Train the two-task network; with no data configured, on a phantom made on the spot."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.train_run import main

if __name__ == "__main__":
    cli.run(main)
