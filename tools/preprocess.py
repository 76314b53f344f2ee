"""Cut the nodules out of LIDC-IDRI scans or slices; write the slices of any CT as JPG."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("preprocess")
