"""Malignancy level and pathology class of nodules, a JSON line each."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.predict_nodules import main

if __name__ == "__main__":
    cli.run(main)
