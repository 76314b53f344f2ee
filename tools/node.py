"""A DICOM node: receives CT studies, answers each, and sends the answer to a PACS."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("node")
