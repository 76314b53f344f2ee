"""Malignancy level and pathology class of nodules, a JSON line each."""

from lungdx_paddle.__main__ import run_command

if __name__ == "__main__":
    run_command("predict")
