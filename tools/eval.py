"""Evaluate a finished training: every score with its interval, and a picture."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.eval_run import main

if __name__ == "__main__":
    cli.run(main)
