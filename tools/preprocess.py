"""Cut the nodules out of LIDC-IDRI scans or slices; write the slices of any CT as JPG."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.preprocess_scans import main

if __name__ == "__main__":
    cli.run(main)
