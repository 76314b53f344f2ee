"""Cut the nodules out of LIDC-IDRI scans or slices: crops, manifest.csv and report.json."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.preprocess_scans import main

if __name__ == "__main__":
    cli.run(main)
