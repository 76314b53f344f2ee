"""Fetch a part of LIDC-IDRI: scans, the readers' marks (XML) and the diagnosis table."""

from lungdx_paddle.commands import cli
from lungdx_paddle.commands.download_lidc import main

if __name__ == "__main__":
    cli.run(main)
