"""Fetch a part of LIDC-IDRI: scans, the readers' marks (XML) and the diagnosis table."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("download")
